# SPDX-License-Identifier: Apache-2.0
"""Cells as people and programs read them."""

import json

from membuddies_nova.cli import column


def test_a_missing_value_is_a_dash_or_null():
    [cell] = column.row([None])
    assert str(cell) == "-"
    assert json.dumps(cell.machine_readable()) == "null"


def test_missing_values_sort_before_all_others():
    cells = [3.0, *column.row([None]), 1.0, *column.row([None])]
    assert list(map(str, sorted(cells))) == ["-", "-", "1.0", "3.0"]


def test_records_are_a_table_for_people_and_a_list_for_programs():
    records = [{"guest": "a", "shared_mb": 1.5}, {"guest": "bb", "shared_mb": 12.0}]
    cell = column.Records(records)
    assert cell.machine_readable() == records
    assert str(cell).splitlines() == [
        "guest  shared_mb",
        "a            1.5",
        "bb          12.0",
    ]
    assert str(column.Records([])) == "-"


def test_pages_are_told_in_megabytes_to_a_tenth():
    assert column.mb(256) == 1.0
    assert column.mb(300) == 1.2
    assert column.mb(None) is None


def test_a_moment_is_told_in_utc():
    assert column.moment(0) == "1970-01-01T00:00:00Z"
    assert column.moment(None) is None
