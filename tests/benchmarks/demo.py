# SPDX-License-Identifier: Apache-2.0
"""How long `make demo` takes when all is installed, and how well it predicts.

Runs the whole demo on a lab of its own and takes it down again; the machine should
have nothing else to do. Run: python -m tests.benchmarks.demo
"""

import json
import subprocess
import sys
import time

from tests.benchmarks.figure import Figure
from tests.cloud.demo import REPORT


def main() -> int:
    """Run the demo and print both figures."""
    subprocess.run(["make", "--silent", "venv"], check=True)
    REPORT.unlink(missing_ok=True)
    begun = time.monotonic()
    try:
        told = subprocess.run(["make", "demo"])
        seconds = time.monotonic() - begun
    finally:
        subprocess.run(["make", "--silent", "demo-down"], check=True)
    if not REPORT.exists():
        print(f"the demo ended with {told.returncode} and left no {REPORT.name}")
        return 1
    report = json.loads(REPORT.read_text())
    figures = (
        Figure(
            name="demo_seconds",
            what="make demo, all installed",
            how="at most",
            asked=360,
            measured=seconds,
            unit="s",
            facts={"peak memory, MB": report["peak_memory_mb"]},
        ),
        Figure(
            name="demo_error",
            what="predicted against measured saving in the demo (aim: 2)",
            how="at most",
            asked=4,
            measured=report["error_points"],
            unit="points of the memory used before",
            facts={
                name: report[name]
                for name in (
                    *("before_mb", "after_mb", "measured_saved_mb"),
                    *("predicted_saved_mb", "migrations", "placement_right"),
                )
            },
        ),
    )
    missed = [figure.publish() for figure in figures]
    return max(told.returncode, *missed)


if __name__ == "__main__":
    sys.exit(main())
