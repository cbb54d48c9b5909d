# SPDX-License-Identifier: Apache-2.0
"""Runs several commands of one program, each in a fork of one that has imported it.

For :mod:`.manage`, as a script of its own: what runs in it must be all that its
program finds imported, and nothing of the tests::

    python forked_commands.py keystone.cmd.manage '["--config-file", ...]' ...
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence


def main(module: str, texts: Sequence[str]) -> int:
    """Exit status: 0 if all commands ended so, else 1; ``texts`` are JSON lists."""
    commands = [[module, *json.loads(text)] for text in texts]
    # Nova's reads its configuration when it is imported.
    sys.argv = commands[0]
    program = importlib.import_module(module)
    for command in commands:
        child = os.fork()
        if child == 0:
            sys.argv = command
            sys.exit(program.main())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            print(f"{' '.join(command)} ended with {status}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
