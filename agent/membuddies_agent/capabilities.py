# SPDX-License-Identifier: Apache-2.0
"""Which Linux capabilities the agent holds, to say which one it lacks.

For the sentence an operator reads when the kernel refuses a guest's memory.
The agent never raises or drops a capability. See capabilities(7) and the
"Ptrace access mode checking" of ptrace(2).
"""

import pathlib

_BITS = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
}


def effective(status: pathlib.Path = pathlib.Path("/proc/self/status")) -> int:
    """The capability mask that the kernel checks for this process."""
    for line in status.read_text("ascii", "replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def missing_to_read_memory(mask: int) -> list[str]:
    """Capabilities that reading another user's process needs and a mask lacks.

    CAP_SYS_PTRACE passes the kernel's ptrace check, CAP_DAC_READ_SEARCH opens
    the process's files, CAP_SYS_ADMIN shows which frame is behind a page.
    """
    missing = [
        name
        for name in ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN")
        if not mask >> _BITS[name] & 1
    ]
    if mask >> _BITS["CAP_DAC_OVERRIDE"] & 1 and "CAP_DAC_READ_SEARCH" in missing:
        missing.remove("CAP_DAC_READ_SEARCH")
    return missing


def refusal(path: str, mask: int | None = None) -> str:
    """One sentence on why the kernel refuses a file, naming what is missing.

    :param mask: of the capabilities, None for this process's own
    """
    missing = missing_to_read_memory(effective() if mask is None else mask)
    if missing:
        return (
            f"{path} cannot be read: the agent lacks {' and '.join(missing)}; "
            f"run it as root or add AmbientCapabilities to its systemd unit"
        )
    return (
        f"{path} cannot be read although no capability is missing: look for a "
        f"security module or kernel lockdown that forbids it"
    )
