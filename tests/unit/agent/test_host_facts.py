# SPDX-License-Identifier: Apache-2.0
import pathlib

import pytest

from membuddies_agent import host_facts
from membuddies_agent.host_facts import HostFactsReader
from membuddies_nova.cluster import KsmState
from membuddies_nova.facts import HostFacts

MEMINFO = """\
MemTotal:       24683980 kB
MemFree:        20211392 kB
MemAvailable:   23109004 kB
SwapTotal:       1048572 kB
SwapFree:        1048000 kB
HugePages_Total:      64
HugePages_Free:       32
Hugepagesize:       2048 kB
DirectMap1G:    22020096 kB
"""
PRESSURE = """\
some avg10=1.53 avg60=12.87 avg300=1.48 total=7182
full avg10=0.00 avg60=3.10 avg300=0.00 total=4000
"""
KSM = {
    "run": 1,
    "pages_shared": 10,
    "pages_sharing": 90,
    "pages_unshared": 5,
    "pages_volatile": 7,
    "full_scans": 3,
    "merge_across_nodes": 1,
    "max_page_sharing": 256,
    "use_zero_pages": 0,
    "smart_scan": 1,
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
}


class Machine:
    """A recorded /proc and /sys, and a clock that is set by hand."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.seconds = 100.0
        self.reader = HostFactsReader(root / "proc", root / "sys", lambda: self.seconds)
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/vmstat", "nr_free_pages 1\npswpin 1000\npswpout 5\n")
        self.write("proc/pressure/memory", PRESSURE)
        self.write("proc/1/comm", "systemd\n")
        self.write(
            "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"
        )
        for name, value in KSM.items():
            self.write(f"sys/kernel/mm/ksm/{name}", f"{value}\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_recorded_host_is_read(machine):
    facts = machine.reader.read()
    assert facts.mem_total_bytes == 24683980 * 1024
    assert facts.mem_available_bytes == 23109004 * 1024
    assert facts.swap_total_bytes == 1048572 * 1024
    assert facts.swap_free_bytes == 1048000 * 1024
    assert facts.memory_pressure == pytest.approx(0.1287)
    assert facts.memory_pressure_full == pytest.approx(0.031)
    assert facts.huge_pages_total == 64
    assert facts.huge_pages_free == 32
    assert facts.huge_page_bytes == 2 << 20
    assert facts.thp == "madvise"
    assert facts.ksm.state is KsmState.MERGING
    assert {name: getattr(facts.ksm, name) for name in KSM} == KSM


def test_the_facts_pass_over_the_bus(machine):
    facts = machine.reader.read()
    assert HostFacts.from_json(facts.to_json()) == facts


def test_the_facts_of_this_very_machine_pass_over_the_bus():
    facts = HostFactsReader().read()
    assert facts.mem_total_bytes > facts.mem_available_bytes > 0
    assert HostFacts.from_json(facts.to_json()) == facts


def test_missing_files_are_missing_facts(tmp_path):
    (tmp_path / "proc").mkdir()
    facts = HostFactsReader(tmp_path / "proc", tmp_path / "sys").read()
    assert facts.memory_pressure is None
    assert facts.thp is None
    assert facts.swap_in_pages_per_second is None
    assert facts.ksm.state is KsmState.UNKNOWN
    assert facts.ksm.run is None


def test_the_swap_in_rate_is_the_mean_since_the_report_before(machine):
    assert machine.reader.read().swap_in_pages_per_second is None
    machine.seconds += 10
    machine.write("proc/vmstat", "pswpin 1250\n")
    assert machine.reader.read().swap_in_pages_per_second == 25.0
    machine.seconds += 10
    assert machine.reader.read().swap_in_pages_per_second == 0.0


def test_the_age_of_the_last_full_scan_counts_from_when_it_was_seen(machine):
    assert machine.reader.read().ksm.full_scan_age_seconds is None
    machine.seconds += 60
    machine.write("sys/kernel/mm/ksm/full_scans", "4\n")
    assert machine.reader.read().ksm.full_scan_age_seconds == 0.0
    machine.seconds += 60
    assert machine.reader.read().ksm.full_scan_age_seconds == 60.0


@pytest.mark.parametrize("daemon", ["ksmtuned", "momd"])
def test_a_stopped_ksm_with_its_daemon_is_managed(machine, daemon):
    machine.write("sys/kernel/mm/ksm/run", "0\n")
    machine.write("proc/77/comm", f"{daemon}\n")
    assert machine.reader.read().ksm.state is KsmState.MANAGED


@pytest.mark.parametrize(
    ("run", "pages_shared", "managed", "state"),
    [
        (1, 0, False, KsmState.MERGING),
        (1, 0, True, KsmState.MERGING),
        (0, 0, True, KsmState.MANAGED),
        (2, 0, True, KsmState.MANAGED),
        (2, 0, False, KsmState.OFF),
        (0, 0, False, KsmState.OFF),
        (0, 12, False, KsmState.UNKNOWN),
        (0, None, False, KsmState.UNKNOWN),
        (None, None, False, KsmState.UNKNOWN),
        (None, None, True, KsmState.UNKNOWN),
    ],
)
def test_the_state_of_ksm_follows_the_architectures_table(
    run, pages_shared, managed, state
):
    assert host_facts.ksm_state(run, pages_shared, managed) is state
