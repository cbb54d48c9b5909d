# SPDX-License-Identifier: Apache-2.0
"""The transport: whose options count, and what is said of a wrong URL."""

import pytest

from membuddies_nova.bus import transport
from membuddies_nova.bus.client import BusClient
from membuddies_nova.exceptions import ConfigurationError
from tests.functional.bus.configuration import bus_conf

URL = "rabbit://user:secret@127.0.0.1:1/vhost"


def driver_options(url, **group):
    """The options that the driver goes by, under a group like nova.conf's."""
    conf = bus_conf(url)
    transport.transport(conf)
    for name, value in group.items():
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    driver = transport.transport(conf)._driver
    return driver._connection_pool.conf.oslo_messaging_rabbit


def test_every_target_names_exchange_topic_and_version():
    for target in (transport.target(), transport.target("c1")):
        assert (target.exchange, target.topic) == ("membuddies", "membuddies")
        assert target.version == "1.0"


def test_queues_are_declared_alike_whatever_novas_options_say():
    options = driver_options(URL, rabbit_quorum_queue=True, amqp_durable_queues=True)
    assert not options.rabbit_quorum_queue
    assert not options.amqp_durable_queues
    assert options.amqp_auto_delete


def test_what_stands_behind_the_url_wins():
    options = driver_options(f"{URL}?rabbit_quorum_queue=true&amqp_auto_delete=false")
    assert options.rabbit_quorum_queue
    assert not options.amqp_auto_delete


def test_novas_tls_options_count():
    assert driver_options(URL, ssl=True).ssl


@pytest.mark.parametrize(
    "url", [None, "", "nonsense", "carrier-pigeon://user:secret@h/", f"{URL}?no_such=1"]
)
def test_a_url_that_cannot_be_used_is_one_line_without_its_password(url):
    with pytest.raises(ConfigurationError, match="transport_url") as error:
        BusClient(bus_conf(url), "h1")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
