# SPDX-License-Identifier: Apache-2.0
"""Placing while parts of ours are away, and when they are back."""

import time

import amqp  # type: ignore[import-untyped]

from tests.cloud import bus
from tests.cloud.lab.buddies import REFRESH_SECONDS
from tests.cloud.records import Records

from .stage import BOARD_AGE_LIMIT_SECONDS, KIN_HOST, WORKERS, Stage

# What an agent waits for an answer, by default. Nobody who places guests may.
RPC_TIMEOUT_SECONDS = 30


def test_all_find_each_other_again_after_the_broker_was_restarted(stage: Stage) -> None:
    stage.cloud.restart_service("rabbitmq")
    restarted_at = time.time()
    restarted = stage.log.size
    with Records.opened() as records:
        for host in stage.cloud.hosts:
            stage.buddies.wait(
                lambda host=host: records.report(host).received_at > restarted_at,  # type: ignore[misc]
                f"the agent of {host} does not report again",
            )
    # What is sent to a nova-compute that is not back yet is lost.
    stage.cloud.wait_until_hosts_report(since=restarted_at)
    with stage.placing(stage.red) as place:
        # A board that has not changed is not sent: this guest changes it.
        place("after-the-broker")
        stage.until_all_took_a_board(restarted)


def test_guests_are_placed_without_delay_while_no_controller_is_there(
    stage: Stage,
) -> None:
    stage.cloud.stop_service("membuddies-controller-ctl")
    stopped_at = time.time()
    with stage.placing(stage.red) as place:
        try:
            stage.wait_until(stopped_at + BOARD_AGE_LIMIT_SECONDS)
            host, decision = place("unadvised")
            assert set(decision.weights.values()) == {0.0}
            assert host != KIN_HOST
            assert decision.seconds < RPC_TIMEOUT_SECONDS / 2

            # All have asked several times. Of each one at most one question waits.
            stage.wait_until(stopped_at + 6 * REFRESH_SECONDS)
            assert _waiting_questions() <= len(stage.cloud.hosts) + WORKERS
        finally:
            since = stage.log.size
            stage.buddies.start_controller()
        # A board that has not changed is not sent: the guest changes it.
        stage.until_all_took_a_board(since)


def _waiting_questions() -> int:
    """How many messages lie in the controllers' queue, 0 if there is none."""
    with bus.connection() as broker:
        try:
            queue = broker.channel().queue_declare("membuddies", passive=True)
        except amqp.NotFound:
            return 0
        return int(queue.message_count)
