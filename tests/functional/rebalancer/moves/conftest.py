# SPDX-License-Identifier: Apache-2.0
"""One move against an emulated Nova and a real database, faults included."""

import pytest

from tests.functional.rebalancer.moves.bench import Bench


@pytest.fixture
def bench(database, emulator, nova):
    return Bench(database, emulator, nova)
