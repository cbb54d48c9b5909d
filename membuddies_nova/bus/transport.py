# SPDX-License-Identifier: Apache-2.0
"""How client and server reach the broker, and what they are called there.

The exchange is named in every target: inside nova-scheduler oslo.messaging's
default exchange is Nova's.
"""

import importlib

import oslo_messaging
from oslo_config import cfg

from membuddies_nova import exceptions
from membuddies_nova.conf import bus as options

EXCHANGE = "membuddies"
TOPIC = "membuddies"
RPC_VERSION = "1.0"

# Client and server must declare exchange and queues alike, but read different
# files: nova.conf's [oslo_messaging_rabbit] is made for Nova's own queues. So
# these do not come from there; what an operator writes behind the URL wins.
_BROKER_OPTIONS = {
    # The queue goes with the last controller: questions then fail at once
    # instead of waiting in the broker.
    "amqp_auto_delete": "true",
    "amqp_durable_queues": "false",
    "rabbit_quorum_queue": "false",
    "rabbit_ha_queues": "false",
    "rabbit_transient_quorum_queue": "false",
    "rabbit_stream_fanout": "false",
    "use_queue_manager": "false",
    # A reply queue whose client has died goes after this many seconds ...
    "rabbit_transient_queues_ttl": "300",
    # ... and meanwhile keeps a thread of the controller no longer than this.
    "kombu_missing_consumer_retry_timeout": "5",
    # Reconnect soon: the default waits up to 30 seconds after an outage.
    "rabbit_interval_max": "5",
}


def transport(conf: cfg.ConfigOpts) -> oslo_messaging.Transport:
    """Prepare the transport of ``[membuddies] transport_url``; opens nothing.

    :raises ConfigurationError: if the URL is missing or wrong
    """
    options.register(conf)
    _register_oslo_messaging(conf)
    text = conf[options.GROUP].transport_url
    if not text:
        raise exceptions.ConfigurationError(
            "[membuddies] transport_url is not set: name the message broker, for "
            "example rabbit://membuddies:PASSWORD@rabbit1:5672/membuddies"
        )
    try:
        url = oslo_messaging.TransportURL.parse(conf, text)
        url.query = {**_BROKER_OPTIONS, **url.query}
        return oslo_messaging.get_rpc_transport(conf, url=url)
    except (
        oslo_messaging.InvalidTransportURL,
        oslo_messaging.DriverLoadFailure,
        cfg.NoSuchOptError,
        ValueError,
    ) as error:
        # Not the URL itself: it holds a password.
        raise exceptions.ConfigurationError(
            f"[membuddies] transport_url cannot be used: {type(error).__name__}; "
            f"the form is rabbit://USER:PASSWORD@HOST:PORT/VHOST"
        ) from None


def target(server: str | None = None) -> oslo_messaging.Target:
    """Where questions go: to any controller, or a server's own address."""
    return oslo_messaging.Target(
        exchange=EXCHANGE, topic=TOPIC, version=RPC_VERSION, server=server
    )


def _register_oslo_messaging(conf: cfg.ConfigOpts) -> None:
    """Register what oslo.messaging registers with oslo.config's global only.

    Its 18th release asks these groups of whatever configuration it is given;
    earlier ones have fewer of them.
    """
    for module, group in (
        ("oslo_messaging._metrics.client", "oslo_messaging_metrics"),
        ("oslo_messaging._tracing.client", "oslo_messaging_tracing"),
    ):
        try:
            opts = getattr(importlib.import_module(module), group)
        except ModuleNotFoundError:
            continue
        conf.register_opts(opts, group=group)
