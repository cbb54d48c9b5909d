# SPDX-License-Identifier: Apache-2.0
import pytest

from membuddies_agent import capabilities

ALL = 0x1FFFFFFFFFF
SYS_PTRACE = 1 << 19
DAC_OVERRIDE = 1 << 1
DAC_READ_SEARCH = 1 << 2
SYS_ADMIN = 1 << 21


@pytest.mark.parametrize(
    ("mask", "missing"),
    [
        (ALL, []),
        (0, ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"]),
        (ALL & ~SYS_PTRACE, ["CAP_SYS_PTRACE"]),
        (ALL & ~DAC_READ_SEARCH, []),
        (ALL & ~DAC_READ_SEARCH & ~DAC_OVERRIDE, ["CAP_DAC_READ_SEARCH"]),
        (ALL & ~SYS_ADMIN, ["CAP_SYS_ADMIN"]),
    ],
)
def test_what_is_missing_to_read_memory_is_named(mask, missing):
    assert capabilities.missing_to_read_memory(mask) == missing


def test_a_refusal_is_one_sentence_that_names_file_and_capability():
    sentence = capabilities.refusal("/proc/1/mem", ALL & ~SYS_PTRACE)
    assert sentence.startswith("/proc/1/mem cannot be read: the agent lacks CAP_SYS_PT")
    assert "\n" not in sentence


def test_a_refusal_without_a_missing_capability_points_elsewhere():
    assert "security module" in capabilities.refusal("/proc/1/mem", ALL)


def test_the_effective_mask_is_read_from_a_status_file(tmp_path):
    status = tmp_path / "status"
    status.write_text(
        "Name:\tx\nCapPrm:\t0000000000000001\nCapEff:\t0000000000080004\n"
    )
    assert capabilities.effective(status) == SYS_PTRACE | DAC_READ_SEARCH
