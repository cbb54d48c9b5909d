# SPDX-License-Identifier: Apache-2.0
"""Questions and answers over a real RabbitMQ."""

import threading

import kombu
import pytest

from membuddies_nova.bus import server as bus_server
from membuddies_nova.bus.client import BusUnavailable
from membuddies_nova.bus.messages import Outcome, ReportAnswer, StoreRequest
from membuddies_nova.bus.server import BusServer
from membuddies_nova.facts import Number
from membuddies_nova.fingerprint import codec
from tests.functional.bus.configuration import answered, bus_conf, eventually
from tests.functional.bus.conftest import Echo
from tests.functional.services import free_port


def queues(rabbitmq, url):
    """What the broker has now, by name, counted at this moment."""
    vhost = url.partition("?")[0].rpartition("/")[2]
    return {
        queue["name"]: queue
        for queue in rabbitmq.ask("GET", f"/api/queues/{vhost}?disable_stats=true")
    }


def waiting(url):
    """Questions in the broker that no controller has taken, at this moment."""
    with kombu.Connection(url.replace("rabbit://", "amqp://")) as connection:
        declared = connection.default_channel.queue_declare("membuddies", passive=True)
    return declared.message_count


class Stuck(Echo):
    """Answers no report until it is let go."""

    def __init__(self):
        super().__init__()
        self.release = threading.Event()

    def report(self, context, /, message=None):
        self.asked.append(("report", message))
        self.release.wait(60)
        return ReportAnswer().to_json()


def test_each_question_gets_its_answer(
    transport_url, make_client, make_server, echo, report
):
    make_server(transport_url, echo)
    client = make_client(transport_url)

    assert answered(lambda: client.report(report)).outcome is Outcome.OK
    body = b"fingerprint"
    stored = client.store(
        StoreRequest(
            host="compute-1",
            guest="11111111-1111-1111-1111-111111111111",
            number=Number(1, 2),
            digest=codec.digest(body),
            scanned_at=3.0,
            body=body,
        )
    )
    assert stored.outcome is Outcome.STORED
    board = client.scoreboard(None)
    assert (board.version, board.body) == ("0" * 32, b"board")
    assert [method for method, _ in echo.asked] == ["report", "store", "scoreboard"]


def test_exchange_and_topic_are_the_projects_own(
    rabbitmq, transport_url, make_client, make_server, echo, report
):
    make_server(transport_url, echo)
    answered(lambda: make_client(transport_url).report(report))

    vhost = transport_url.rpartition("/")[2]
    exchanges = {
        exchange["name"] for exchange in rabbitmq.ask("GET", f"/api/exchanges/{vhost}")
    }
    assert {"membuddies", "membuddies_fanout"} <= exchanges
    assert not exchanges & {"nova", "openstack"}
    assert "membuddies" in queues(rabbitmq, transport_url)


def test_any_number_of_servers_share_the_questions(
    transport_url, make_client, make_server, report
):
    echoes = [Echo(), Echo()]
    for number, echo in enumerate(echoes):
        make_server(transport_url, echo, f"controller-{number}")
    client = make_client(transport_url)

    def both_asked():
        client.report(report)
        return all(echo.asked for echo in echoes)

    assert answered(both_asked)


def test_a_question_without_a_controller_fails_and_stays_nowhere(
    rabbitmq, transport_url, make_client, report
):
    client = make_client(transport_url)
    for _ in range(3):
        with pytest.raises(BusUnavailable, match="no controller"):
            client.report(report)
    assert all(name.startswith("reply_") for name in queues(rabbitmq, transport_url))


def test_a_queue_goes_with_its_last_controller(
    rabbitmq, transport_url, make_client, make_server, echo, report
):
    server = make_server(transport_url, echo)
    client = make_client(transport_url)
    answered(lambda: client.report(report))
    assert server.stop(30.0)

    with pytest.raises(BusUnavailable):
        client.report(report)
    assert "membuddies" not in queues(rabbitmq, transport_url)

    make_server(transport_url, echo, "controller-2")
    assert answered(lambda: client.report(report)).outcome is Outcome.OK


def test_a_question_that_is_not_answered_in_time_fails(
    transport_url, make_client, make_server, report
):
    stuck = Stuck()
    make_server(transport_url, stuck)
    client = make_client(transport_url, timeout_seconds=1.0)
    answered(lambda: client.scoreboard(None))
    try:
        with pytest.raises(BusUnavailable, match="answered in 1 seconds"):
            client.report(report)
    finally:
        stuck.release.set()


def test_nothing_piles_up_while_the_controller_is_away_for_ten_periods(
    rabbitmq, transport_url, make_client, make_server, echo, report
):
    # With queues that outlive their controllers, as quorum queues do.
    url = f"{transport_url}?amqp_auto_delete=false"
    server = make_server(url, echo)
    clients = [make_client(url, timeout_seconds=1.0) for _ in range(3)]
    for client in clients:
        answered(lambda client=client: client.report(report))
    assert server.stop(30.0)

    most = 0
    for _ in range(10):
        callers = [
            threading.Thread(target=pytest.raises, args=(BusUnavailable, ask, report))
            for ask in (client.report for client in clients)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        most = max(most, waiting(transport_url))

    assert most <= len(clients)
    eventually(lambda: waiting(transport_url) == 0)


def test_a_dead_clients_reply_queue_goes(
    rabbitmq, transport_url, make_client, make_server, echo, report
):
    url = f"{transport_url}?rabbit_transient_queues_ttl=1"
    make_server(url, echo)
    client = make_client(url)
    answered(lambda: client.report(report))
    assert any(name.startswith("reply_") for name in queues(rabbitmq, url))

    client.close()

    eventually(
        lambda: not any(name.startswith("reply_") for name in queues(rabbitmq, url))
    )


def test_a_broker_that_is_away_from_the_start_ends_each_question(make_client, report):
    client = make_client(
        f"rabbit://guest:guest@127.0.0.1:{free_port()}/", timeout_seconds=1.0
    )
    with pytest.raises(BusUnavailable, match="not reached in 1 seconds"):
        client.report(report)
    with pytest.raises(BusUnavailable, match="still not reached"):
        client.report(report)


def test_a_server_that_never_reached_the_broker_stops_all_the_same(echo):
    conf = bus_conf(f"rabbit://guest:guest@127.0.0.1:{free_port()}/")
    server = BusServer(conf, echo, "controller-1", threads=1)
    server.start()
    assert server.stop(1.0)


def test_a_server_told_to_stop_answers_nothing_when_the_broker_comes_back(
    rabbitmq, transport_url, make_client, report, echo
):
    server = BusServer(bus_conf(transport_url), echo, "controller-1", threads=1)
    rabbitmq.stop()
    server.start()
    assert server.stop(1.0)
    rabbitmq.start()

    server._starting.join(60)

    assert not server._starting.is_alive()
    with pytest.raises(BusUnavailable):
        make_client(transport_url, timeout_seconds=1.0).report(report)
    assert echo.asked == []


def test_who_is_not_let_in_says_so_and_gets_in_when_it_is_mended(
    rabbitmq, make_client, make_server, echo, report, caplog, monkeypatch
):
    monkeypatch.setattr(bus_server, "_RETRY_SECONDS", 0.2)
    url = f"rabbit://guest:guest@127.0.0.1:{rabbitmq.port}/made-later"
    make_server(url, echo)
    client = make_client(url)
    with pytest.raises(BusUnavailable, match="vhost made-later not found"):
        client.report(report)
    eventually(lambda: "does not let us in" in caplog.text)

    rabbitmq.create_vhost("made-later")
    assert answered(lambda: client.report(report)).outcome is Outcome.OK


@pytest.mark.parametrize("user", ["guest:wrong", "nobody:guest"])
def test_a_wrong_password_is_an_error_without_it(rabbitmq, make_client, report, user):
    client = make_client(f"rabbit://{user}@127.0.0.1:{rabbitmq.port}/")
    with pytest.raises(BusUnavailable, match="transport_url") as error:
        client.report(report)
    assert "wrong" not in str(error.value)


def test_client_and_server_reconnect_after_the_broker_restarted(
    rabbitmq, transport_url, make_client, make_server, echo, report
):
    make_server(transport_url, echo)
    client = make_client(transport_url)
    answered(lambda: client.report(report))

    rabbitmq.stop()
    with pytest.raises(BusUnavailable):
        client.report(report)
    rabbitmq.start()

    asked = len(echo.asked)
    assert answered(lambda: client.report(report)).outcome is Outcome.OK
    assert len(echo.asked) > asked
