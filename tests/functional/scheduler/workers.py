# SPDX-License-Identifier: Apache-2.0
"""A master that makes a weigher and forks workers, as nova-scheduler does.

Called with nova.conf's path. Reads commands from standard input: ``fork`` makes
another worker, ``end`` ends all. Every line that it writes is one JSON object.
A worker writes a line whenever what it weighs has changed, and its first one
when it has a board without having weighed anything. Green workers, as eventlet
makes them, cannot have one before.
"""

import json
import os
import signal
import sys
import threading
import time

import nova.conf
from nova.scheduler import weights

from tests.unit.scheduler.requests import spec, state

CLASSES = ["membuddies_nova.scheduler.weigher.SharingWeigher"]


def say(**facts):
    # One write of less than a pipe's buffer: lines of processes do not mix.
    os.write(1, (json.dumps({"pid": os.getpid(), **facts}) + "\n").encode())


def work(weigher, green):
    boards = weigher._boards
    while boards._held is None:
        if green:
            boards.current()
        time.sleep(0.05)
    threads = [thread.name for thread in threading.enumerate()]
    say(event="board", threads=threads.count("membuddies-board"))
    last = None
    while True:
        weighed = weights.HostWeightHandler().get_weighed_objects(
            [weigher], [state("m0"), state("m1")], spec()
        )
        found = {each.obj.host: round(each.weight, 3) for each in weighed}
        if found != last:
            say(event="weights", **found)
            last = found
        time.sleep(0.05)


def main(green=False):
    nova.conf.CONF(sys.argv[1:], project="nova", default_config_files=[])
    classes = weights.HostWeightHandler().get_matching_classes(CLASSES)
    (weigher,) = (each() for each in classes)
    say(event="master", threads=threading.active_count())
    # Nobody waits for the workers but the end of this process.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    workers = []
    for command in sys.stdin:
        if command.strip() != "fork":
            break
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            work(weigher, green)
        workers.append(pid)
        say(event="forked", worker=pid, threads=threading.active_count())
    for pid in workers:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
