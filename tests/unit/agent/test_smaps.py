# SPDX-License-Identifier: Apache-2.0
import pytest

from membuddies_agent import smaps
from membuddies_agent.smaps import Mapping
from membuddies_nova.facts import Reason

RECORDED = """\
7f1c14000000-7f1c18000000 rw-p 00000000 00:00 0
Size:              65536 kB
KernelPageSize:        4 kB
Rss:                2372 kB
KSM:                   0 kB
THPeligible:           1
VmFlags: rd wr mr mw me ac sd hg mg
7f1c20a00000-7f1c20a21000 r-xp 00000000 fe:00 1234    /usr/lib/a b: c.so (deleted)
Size:                132 kB
VmFlags: rd ex mr mw me sd
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Size:                  4 kB
VmFlags: ex
"""


def mapping(size_mb: int, *flags: str) -> Mapping:
    return Mapping(0, size_mb << 20, frozenset(flags))


def test_every_mapping_of_a_recorded_file_is_read():
    ram, library, vsyscall = smaps.parse(RECORDED)
    assert (ram.start, ram.end) == (0x7F1C14000000, 0x7F1C18000000)
    assert ram.size_bytes == 64 << 20
    assert ram.mergeable
    assert not library.mergeable
    assert vsyscall.end == 0xFFFFFFFFFF601000
    assert smaps.mergeable([library, ram, vsyscall]) == [ram]


def test_a_kernel_thread_has_no_mappings():
    assert smaps.parse("") == []


@pytest.mark.parametrize(
    ("mappings", "reason"),
    [
        ([], Reason.NOT_MERGEABLE),
        ([mapping(1024, "rd", "wr")], Reason.NOT_MERGEABLE),
        ([mapping(1024, "mg")], None),
        ([mapping(1024, "mg"), mapping(512, "sh")], None),
        ([mapping(16, "mg"), mapping(1024, "sh")], Reason.SHARED_MEMORY),
        ([mapping(16, "mg"), mapping(1024, "ht")], Reason.HUGE_PAGES),
        ([mapping(16, "mg"), mapping(1024, "ht", "sh")], Reason.HUGE_PAGES),
        ([mapping(16, "mg"), mapping(1024, "sh", "io", "pf")], None),
        ([mapping(16, "mg"), mapping(1024, "rd", "wr")], None),
        ([mapping(1024, "sh")], Reason.SHARED_MEMORY),
    ],
)
def test_the_largest_mapping_decides_whether_memory_merges(mappings, reason):
    assert smaps.reason_against(mappings) is reason
