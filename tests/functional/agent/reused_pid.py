# SPDX-License-Identifier: Apache-2.0
"""A scan of a process that ends meanwhile and whose pid another one gets.

For test_scan, as a program that is pid 1 of its own namespace: it tells that the
pid was reused, and what the scan came to. The argument names the reader.
"""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[3]))

import membuddies_agent.scan
from membuddies_agent import compiled, memory, stretch
from membuddies_agent.errors import NoFingerprint
from membuddies_nova.fingerprint import page
from tests.functional.agent import processes

READERS = {one.__name__: one for one in (compiled.CompiledReader, stretch.PythonReader)}
LAST_PID = pathlib.Path("/proc/sys/kernel/ns_last_pid")


def main() -> None:
    membuddies_agent.scan.READER = READERS[sys.argv[1]]
    membuddies_agent.scan.STRETCH_BYTES = memory.BLOCK_PAGES * page.PAGE_SIZE
    blocks: list[int] = []
    with contextlib.ExitStack() as others:
        child = others.enter_context(processes.child(640, write=[[0, 640, 1]]))

        def replace_the_process(done_bytes: int, all_bytes: int) -> None:
            blocks.append(done_bytes)
            if len(blocks) == 2:
                child.kill()
                LAST_PID.write_text(str(child.process.pid - 1))
                other = others.enter_context(processes.child(640, write=[[0, 640, 2]]))
                assert other.process.pid == child.process.pid
                assert other.process != child.process
                print("reused")

        try:
            membuddies_agent.scan.scan(child.process, progress=replace_the_process)
        except NoFingerprint as error:
            print(error.reason)


main()
