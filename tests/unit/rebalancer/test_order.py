# SPDX-License-Identifier: Apache-2.0
"""The order of a plan's moves, whatever becomes of each."""

from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.db.moves import OPEN, MoveRecord
from membuddies_nova.plan import Move
from membuddies_nova.rebalancer import order
from membuddies_nova.rebalancer.policy import OnFailure

STATES = ("planned", *sorted(OPEN), "done", "failed", "skipped", "cancelled")


def record(position: int, wave: int, hosts: str, state: str) -> MoveRecord:
    return MoveRecord(
        id=str(position),
        plan_id="p",
        position=position,
        move=Move(
            wave=wave,
            guest=f"g{position}",
            source=hosts[0],
            destination=hosts[1],
            gain_mb=1.0,
            error_mb=0.0,
            copy_mb=1.0,
            reason="",
        ),
        state=state,
        holder=None,
        claimed_at=None,
        requested_at=None,
        finished_at=None,
        baseline_id=None,
        migration_id=None,
        detail="",
    )


def records(*rows: tuple[int, str, str]) -> list[MoveRecord]:
    return [record(position, *row) for position, row in enumerate(rows)]


def skipped(moves, on_failure=OnFailure.CONTINUE) -> list[str]:
    return [found.move.guest for found, _ in order.to_skip(moves, on_failure)]


plans = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.permutations("abcd").map(lambda hosts: hosts[0] + hosts[1]),
        st.sampled_from(STATES),
    ),
    max_size=8,
).map(lambda rows: records(*rows))


def test_moves_of_the_first_wave_may_start_together():
    moves = records((1, "ab", "planned"), (1, "cd", "planned"), (2, "ba", "planned"))

    assert [found.move.guest for found in order.startable(moves)] == ["g0", "g1"]


def test_the_second_wave_waits_for_all_of_the_first():
    moves = records((1, "ab", "done"), (1, "cd", "unknown"), (2, "ba", "planned"))

    assert order.startable(moves) == []


def test_a_move_on_the_hosts_of_an_earlier_failure_is_skipped():
    moves = records(
        (1, "ab", "failed"),
        (1, "ac", "planned"),
        (2, "bd", "planned"),
        (2, "ca", "planned"),
        (2, "cd", "planned"),
    )

    assert skipped(moves) == ["g2", "g3"]


def test_a_move_on_the_hosts_of_one_that_was_skipped_is_skipped_too():
    moves = records((1, "ab", "done"), (2, "bc", "skipped"), (3, "cd", "planned"))

    assert skipped(moves) == ["g2"]


def test_stop_skips_everything_after_a_failure_but_not_after_a_skip():
    after_failure = records((1, "ab", "failed"), (1, "cd", "planned"))
    after_skip = records((1, "ab", "skipped"), (1, "cd", "planned"))

    assert skipped(after_failure, OnFailure.STOP) == ["g1"]
    assert skipped(after_skip, OnFailure.STOP) == []


@given(plans)
def test_what_may_start_is_planned_and_of_one_wave_with_none_open_before(moves):
    found = order.startable(moves)

    assert all(each.state == "planned" for each in found)
    assert len({each.move.wave for each in found}) <= 1
    for each in found:
        earlier = [other for other in moves if other.move.wave < each.move.wave]
        assert all(other.state not in OPEN | {"planned"} for other in earlier)


@given(plans)
def test_a_plan_has_ended_when_no_move_is_planned_or_open(moves):
    left = any(each.state in OPEN | {"planned"} for each in moves)

    assert (order.conclusion(moves) is None) == left


@given(plans, st.sampled_from(OnFailure))
def test_a_plan_never_gets_stuck(moves, on_failure):
    """With nothing open there is always a move to start or to skip, or an end."""
    if any(each.state in OPEN for each in moves):
        return
    assert (
        order.conclusion(moves) is not None
        or order.startable(moves)
        or order.to_skip(moves, on_failure)
    )


@given(plans, st.sampled_from(OnFailure))
def test_only_planned_moves_are_skipped_each_with_a_reason(moves, on_failure):
    for found, reason in order.to_skip(moves, on_failure):
        assert found.state == "planned"
        assert reason
