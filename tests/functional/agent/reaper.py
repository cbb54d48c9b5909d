# SPDX-License-Identifier: Apache-2.0
"""Runs a program, and takes note at once when something that it left behind ends.

libvirt's guests are orphans: who ends one waits until process 1 has taken note of
its end. systemd does so at once; process 1 of a container may take seconds.
"""

import ctypes
import os
import signal
import subprocess
import sys

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("orphans cannot be adopted")
    program = subprocess.Popen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    while os.wait()[0] != program.pid:
        pass


main()
