# SPDX-License-Identifier: Apache-2.0
"""The ``*-manage`` programs of OpenStack's services.

To import one takes longer than most of its commands do, so those of one service run
in forks of one process.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from .layout import venv_program
from .machine import Machine

_SCRIPT = Path(__file__).with_name("forked_commands.py")


def run(machine: Machine, module: str, *commands: Sequence[object]) -> None:
    """Runs commands in a machine, in order.

    :param module: has the program's function ``main``
    :raises CommandFailed: one of them failed, and later ones did not run
    """
    texts = [json.dumps([str(word) for word in words]) for words in commands]
    # -P: beside the script lies a nova.py.
    python = [venv_program("python"), "-P", "-W", "ignore"]
    machine.run([*python, str(_SCRIPT), module, *texts])
