# SPDX-License-Identifier: Apache-2.0
"""What a broker receives: a second queue beside the controllers' own."""

import contextlib
from collections.abc import Iterator

import kombu

from membuddies_nova.bus import transport


class Tap:
    """Gets every question that agents and schedulers send to the controllers."""

    def __init__(self, queue: kombu.Queue) -> None:
        self._queue = queue

    def next_bytes(self) -> int:
        """Wait for the next message: the length of its body."""
        while (message := self._queue.get(no_ack=True)) is None:
            pass
        return len(message.body)


@contextlib.contextmanager
def tapped(url: str) -> Iterator[Tap]:
    """A tap on a virtual host that a controller has already answered on.

    :param url: as in ``[membuddies] transport_url``
    """
    with kombu.Connection(url.replace("rabbit://", "amqp://")) as connection:
        queue = kombu.Queue(
            "tap",
            kombu.Exchange(transport.EXCHANGE, "topic", no_declare=True),
            routing_key=transport.TOPIC,
            durable=False,
            auto_delete=True,
            channel=connection.default_channel,
        )
        queue.declare()
        yield Tap(queue)
