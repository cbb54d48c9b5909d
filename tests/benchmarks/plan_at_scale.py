# SPDX-License-Identifier: Apache-2.0
"""A plan for 1,000 hosts and 10,000 guests: seconds, memory and growth.

`membuddies plan` itself, in a process of its own with one thread, and a scenario
of `.mbf` files at shift 6: guests of 1 GiB with the corpus' statistics in one
project, where anybody may share with anybody. A tenth of it tells the growth. The
numbers are the command's own `load_seconds` and `seconds`, and the kernel's peak of
the process.

Run: python -m tests.benchmarks.plan_at_scale [HOSTS]
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

from tests.benchmarks.clouds import cloud, write
from tests.benchmarks.figure import Figure

HOSTS = 1000
GUESTS_EACH = 10
PROGRAM = pathlib.Path(sys.executable).with_name("membuddies")
GIB = 2**30


def planned(hosts: int) -> dict[str, Any]:
    """What the command answers for a cloud of so many hosts, and its peak."""
    with tempfile.TemporaryDirectory(prefix="membuddies-benchmark-") as folder:
        scenario = write(cloud(hosts, GUESTS_EACH * hosts), pathlib.Path(folder))
        answer = pathlib.Path(folder) / "plan.json"
        environment = {
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with answer.open("wb") as file:
            process = subprocess.Popen(
                [PROGRAM, "plan", "--scenario", scenario, "-f", "json"],
                stdout=file,
                env=environment,
            )
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"membuddies plan ended with status {status}")
        found: dict[str, Any] = json.loads(answer.read_text())
    return {
        **found,
        "peak_bytes": usage.ru_maxrss * 1024,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
    }


def facts_of(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "hosts": len(answer["before"]),
        "guests": sum(len(use["guests"]) for use in answer["before"].values()),
        "shift": answer["shift"],
        "moves": len(answer["moves"]),
        "waves": max((move["wave"] for move in answer["moves"]), default=0),
        "saved": f"{answer['saved_mb'] / answer['before_mb']:.1%} of memory in use",
        "load_seconds": answer["load_seconds"],
        "plan_seconds": answer["seconds"],
        "processor_seconds_in_all": round(answer["processor_seconds"], 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


def figures(hosts: int) -> list[Figure]:
    small, large = planned(hosts // 10), planned(hosts)
    size = f"{hosts:,} hosts x {GUESTS_EACH * hosts:,} guests"
    facts = facts_of(large)
    limits = (
        ("load", f"load of {size}", 60, large["load_seconds"], "seconds"),
        ("plan", f"plan `share` for {size}", 60, large["seconds"], "seconds"),
        ("memory", f"peak memory for {size}", 4.0, large["peak_bytes"] / GIB, "GiB"),
    )
    return [
        *(
            Figure(
                name=f"scale_{name}",
                what=what,
                how="at most",
                asked=asked,
                measured=measured,
                unit=unit,
                facts=facts,
            )
            for name, what, asked, measured, unit in limits
        ),
        Figure(
            name="scale_growth",
            what=f"growth of the plan's time from a tenth to {size}",
            how="at most",
            asked=1.2,
            measured=math.log10(large["seconds"] / small["seconds"]),
            unit="(exponent)",
            facts={"small": facts_of(small), "large": facts},
        ),
    ]


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS
    sys.exit(max([figure.publish() for figure in figures(count)]))
