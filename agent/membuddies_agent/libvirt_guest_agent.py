# SPDX-License-Identifier: Apache-2.0
"""The way to a guest's own agent: libvirt's read-write connection.

For the fingerprints that guests make themselves, and opened for one of these
only: all else that the agent asks libvirt is asked read-only. libvirt carries
the answer and refuses one of more than 10 MiB; what it says is the guest's word.
"""

import contextlib
from collections.abc import Iterator

import libvirt
import libvirt_qemu

from membuddies_agent.errors import NoFingerprint
from membuddies_agent.guest_agent import Carry, CommandRefused
from membuddies_nova.facts import Reason

_ANSWER_SECONDS = 10
"""The guest's agent answers each command at once, if it is there."""

_GONE = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}
_SILENT = {
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_AGENT_UNSYNCED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_TIMEOUT,
}


@contextlib.contextmanager
def guest_agent_of(uri: str, uuid: str) -> Iterator[Carry]:
    """The way to one guest's agent while the block lasts.

    :param uri: of the libvirt daemon, for a read-write connection
    :raises NoFingerprint: if the daemon does not let this user write, or has no
        such guest
    """
    # Errors come as exceptions; libvirt shall not print them as well.
    libvirt.registerErrorHandler(lambda context, error: None, None)
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError:
        raise NoFingerprint(Reason.LIBVIRT_REFUSED) from None
    try:
        try:
            domain = connection.lookupByUUIDString(uuid)
        except libvirt.libvirtError:
            raise NoFingerprint(Reason.GONE) from None
        yield lambda command: _carry(domain, command)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()


def _carry(domain: libvirt.virDomain, command: str) -> str:
    try:
        answer: str = libvirt_qemu.qemuAgentCommand(domain, command, _ANSWER_SECONDS, 0)
    except libvirt.libvirtError as error:
        # Its text may be the guest's: only its code is used.
        code = error.get_error_code()
        if code in _GONE:
            raise NoFingerprint(Reason.GONE) from None
        if code in _SILENT:
            raise NoFingerprint(Reason.GUEST_AGENT_SILENT) from None
        raise CommandRefused("the guest's agent refused a command") from None
    return answer
