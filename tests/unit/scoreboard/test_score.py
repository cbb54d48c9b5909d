# SPDX-License-Identifier: Apache-2.0
"""The short way to a score and the long one agree."""

from hypothesis import given
from hypothesis import strategies as st

from membuddies_nova.cluster import Guest
from membuddies_nova.scoreboard.score import Scorer
from tests.unit.scoreboard.boards import boards


@given(boards(), st.data())
def test_where_nobody_is_booked_the_score_is_the_judges(board, data):
    profile = data.draw(st.sampled_from(["", *board.profiles]))
    guest = Guest(
        uuid="me",
        name="me",
        memory_mb=data.draw(st.integers(0, 2**20)),
        project=data.draw(st.sampled_from(["p1", *board.keys])).removeprefix(
            "project:"
        ),
        image=profile.removeprefix("image:") or None,
    )
    scorer = Scorer(board, guest)
    for host in (*board.hosts, "unknown"):
        instances = tuple(board.settled(host))
        found = scorer.settled_score(host, instances)
        if board.pending(host):
            assert found is None
        else:
            assert found == scorer.judge(host, set(instances)).score
        assert scorer.settled_score(host, (*instances, "new")) is None
