# SPDX-License-Identifier: Apache-2.0
"""Options of the bus: how every part reaches the controllers.

For agents and controllers in membuddies.conf, for the scheduler extension in
nova.conf; the group is ``[membuddies]`` in both.
"""

from oslo_config import cfg

GROUP = "membuddies"

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "transport_url",
        secret=True,
        sample_default="rabbit://membuddies:PASSWORD@rabbit1:5672/membuddies",
        help="""
The message broker between agents, controllers and nova-scheduler, in
oslo.messaging's notation. A virtual host of its own is recommended, so that
nothing here competes with Nova's messages. Must be set, and be the same
everywhere.

How queues are declared does not follow [oslo_messaging_rabbit], because that
group of nova.conf would then have to agree with membuddies.conf: by default
queues are neither durable nor replicated, and vanish with the last controller,
which loses nothing. Whoever wants quorum queues says so behind the URL,
everywhere the same:
?rabbit_quorum_queue=true&rabbit_transient_quorum_queue=true&amqp_auto_delete=false
TLS is set by [oslo_messaging_rabbit], or behind the URL, as ?ssl=true.

RabbitMQ refuses messages above its max_message_size (16 MiB by default from 4.0
on, 128 MiB before). A fingerprint has less than 1.4 MiB. The scoreboard that
nova-scheduler fetches grows with the cloud; if its size, which the controller
logs, comes near 12 MiB, raise max_message_size in rabbitmq.conf.
""",
    ),
    cfg.FloatOpt(
        "rpc_timeout_seconds",
        default=30.0,
        min=1.0,
        max=600.0,
        help="""
How long a question to the controllers may take. It is also how long RabbitMQ
keeps the question if no controller takes it.
""",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known; more than once does no harm."""
    conf.register_opts(OPTIONS, group=GROUP)
