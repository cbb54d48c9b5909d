# SPDX-License-Identifier: Apache-2.0
"""Tags of agents' messages: keyed BLAKE2b under the cloud's key.

A tag proves that a holder of the cloud's key wrote the message as it is. It does
not prove which host wrote it: every compute node has the same key. What a host
may speak of, the inventory decides.

The tag covers the question's name and every key of the message, those of newer
versions, too, so both neighbours of a version can check it. A body counts by its
digest, which is read with it. Schedulers have no key and tag nothing.
"""

import dataclasses
import hmac
import json
from collections.abc import Mapping
from typing import Any

from membuddies_nova.bus import fields
from membuddies_nova.exceptions import MembuddiesError
from membuddies_nova.fingerprint import seal

_KEY_ID = "key_id"
_TAG = "tag"
_NOT_TAGGED = (_TAG, "body")


class ForgedError(MembuddiesError):
    """A message that no holder of the key wrote, or not as it is."""


class UnknownKeyError(MembuddiesError):
    """A message under a key that is not valid here.

    :ivar key_id: of that key, as hexadecimal digits
    """

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"it is tagged under key {key_id}, which the controller's key file does "
            f"not hold: put a new key into the controllers' files first"
        )
        self.key_id = key_id


def tagged(
    question: str, message: Mapping[str, Any], key: seal.SealKey
) -> dict[str, Any]:
    """The message with its tag.

    :param question: the RPC method that takes it
    """
    signed = {**message, _KEY_ID: key.key_id.hex()}
    return {**signed, _TAG: key.tag(_covered(question, signed)).hex()}


@dataclasses.dataclass(frozen=True, slots=True)
class Proof:
    """By what a message was proved to be an agent's.

    :ivar key_id: of the key, as hexadecimal digits
    :ivar tag: names the message as a digest would
    """

    key_id: str
    tag: str


def check(question: str, message: Mapping[str, Any], keys: seal.KeyRing) -> Proof:
    """Believe that a holder of a valid key wrote a message.

    :raises MessageError: if there is no tag
    :raises UnknownKeyError: if its key is not valid here
    :raises ForgedError: if the tag is not that of the message
    """
    key_id = fields.key_id(message, _KEY_ID)
    tag = fields.digest(message, _TAG)
    key = keys.find(bytes.fromhex(key_id))
    if key is None:
        raise UnknownKeyError(key_id)
    if not hmac.compare_digest(key.tag(_covered(question, message)).hex(), tag):
        raise ForgedError("its tag is not that of the message")
    return Proof(key_id, tag)


def _covered(question: str, message: Mapping[str, Any]) -> bytes:
    """What of a message is tagged: the same bytes on both ends of a wire."""
    covered = {name: message[name] for name in message if name not in _NOT_TAGGED}
    try:
        text = json.dumps([question, covered], sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        raise ForgedError("it holds what no agent writes") from None
    return text.encode()
