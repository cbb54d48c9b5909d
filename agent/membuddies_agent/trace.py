# SPDX-License-Identifier: Apache-2.0
"""One fingerprint of a guest that samples its own memory.

For guests whose memory this host shall not read. The tracer of the package
membuddies-guest makes the sample inside the guest and leaves it in a file; here
it is run, the file fetched, checked and deleted. The guest learns nothing but
the public seed: sealing happens on this side. What comes back is the guest's
word. A guest that lies about its pages spoils its own placement; it cannot
claim more items or pages than its memory has, and nothing it sends is kept
that is not of the form below.

The file, all numbers little-endian::

     0  8 bytes  "MBTRACE1"
     8  u64      seed of the ids
    16  u64      pages that were read
    24  u64      zero pages among them
    32  u64      pages that were skipped: ballooned, poisoned, secret
    40  u32      shift
    44  u32      number of ids
    48  u64 ...  ids: distinct, ascending, each with `shift` leading zero bits
"""

import contextlib
import math
import struct
from typing import Final

import numpy as np

from membuddies_agent.errors import NoFingerprint
from membuddies_agent.guest_agent import CommandRefused, GuestAgent
from membuddies_nova.facts import Reason
from membuddies_nova.fingerprint import page, sample

TRACER: Final = "/usr/sbin/membuddies-trace"
SAMPLE: Final = "/run/membuddies/sample"

_MAGIC = b"MBTRACE1"
_HEAD = struct.Struct("<8sQQQQII")
_REMOVE_SECONDS = 10.0
_GRACE_SECONDS = 10.0
"""The tracer ends itself in time, and is waited for a little longer."""

_IMPOSSIBLE_ERRORS = 10.0
"""An honest sample is never beyond this many standard errors."""

# The tracer's exit statuses, as guest_kmod/membuddies-trace.c names them.
_DONE = 0
_REASONS = {3: Reason.TRACER_MISSING, 4: Reason.MODULE_REFUSED}


def trace(
    agent: GuestAgent, *, seed: int, memory_bytes: int, timeout_seconds: float
) -> sample.Sample:
    """Have a guest sample its memory.

    :param seed: the cloud's public seed of page ids
    :param memory_bytes: the guest's memory, which limits what is believed
    :param timeout_seconds: for the tracer
    :raises NoFingerprint: if the guest cannot do it, does not in time, or
        answers what cannot be true
    :raises ScanInterrupted: if the agent is being stopped
    """
    agent.check()
    try:
        status = agent.run(
            TRACER,
            str(seed),
            str(round(timeout_seconds)),
            timeout_seconds=timeout_seconds + _GRACE_SECONDS,
        )
    except CommandRefused:
        raise NoFingerprint(Reason.TRACER_MISSING) from None
    if status != _DONE:
        raise NoFingerprint(
            Reason.TRACE_FAILED
            if status is None
            else _REASONS.get(status, Reason.TRACE_FAILED)
        )
    pages = memory_bytes // page.PAGE_SIZE
    try:
        content = agent.read(SAMPLE, _HEAD.size + 8 * min(pages, sample.MAX_ITEMS))
    except CommandRefused:
        raise NoFingerprint(Reason.TRACE_FAILED) from None
    finally:
        with contextlib.suppress(CommandRefused, NoFingerprint):
            agent.run(TRACER, "--remove", timeout_seconds=_REMOVE_SECONDS)
    return decode(content, seed=seed, memory_pages=pages)


def decode(content: bytes, *, seed: int, memory_pages: int) -> sample.Sample:
    """The bare sample that a tracer left.

    The number of distinct pages is estimated from the sample: the tracer keeps
    no list of all of them.

    :raises NoFingerprint: for whatever cannot be true
    """
    if len(content) < _HEAD.size:
        raise NoFingerprint(Reason.TRACE_IMPLAUSIBLE)
    magic, its_seed, pages, zero, _skipped, shift, count = _HEAD.unpack_from(content)
    if (
        magic != _MAGIC
        or its_seed != seed
        or not sample.MIN_SHIFT <= shift <= sample.MAX_SHIFT
        or count > sample.MAX_ITEMS
        or len(content) != _HEAD.size + 8 * count
        or not zero + count <= pages <= memory_pages
        or count > _most_items((pages - zero) / 2**shift)
    ):
        raise NoFingerprint(Reason.TRACE_IMPLAUSIBLE)
    ids = np.frombuffer(content, dtype="<u8", offset=_HEAD.size).astype(np.uint64)
    if count and (
        not bool(np.all(ids[:-1] < ids[1:]))
        or int(ids[-1]) >> (64 - shift)
        or bool(np.any(ids == np.uint64(page.zero_page_id(seed))))
    ):
        raise NoFingerprint(Reason.TRACE_IMPLAUSIBLE)
    counters = sample.Counters(
        resident_pages=pages,
        unique_pages=min(count << shift, pages - zero),
        zero_pages=zero,
    )
    return sample.Sample(items=ids, shift=shift, counters=counters, seed=seed)


def _most_items(expected: float) -> float:
    """The controller, too, believes no more items than this where so many are due."""
    return expected + _IMPOSSIBLE_ERRORS * (math.sqrt(expected) + 1.0)
