# SPDX-License-Identifier: Apache-2.0
"""Weigh hosts by how much of a guest's memory would merge there.

Enable it in nova.conf on every nova-scheduler, and restart that::

    [filter_scheduler]
    weight_classes = nova.scheduler.weights.all_weighers,
        membuddies_nova.scheduler.weigher.SharingWeigher

    [membuddies]
    transport_url = rabbit://...

``sharing_weight_multiplier``, in ``[membuddies]`` or in the metadata of an
aggregate, says how much it counts; 0 switches it off and a negative number
spreads kin apart.

How a weight came about: with ``debug = True`` Nova 2025.2 and later log for
each request ``SharingWeigher: raw weights`` (the expected shared fraction for
each host) and ``SharingWeigher: score (multiplier * weight)`` beside the same
lines of all other weighers, and every Nova logs ``Weighed [...]`` with the sums.
Nova asks no weigher where a single host is left.

A guest is scored as :mod:`membuddies_nova.scoreboard.score` describes. Without a
fresh scoreboard every host weighs 0, which changes nothing.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import nova.conf
from nova.scheduler import weights

from membuddies_nova.scheduler import local_board, recent
from membuddies_nova.scheduler.rare_log import RareLog
from membuddies_nova.scheduler.score import RequestScorer

CONF = nova.conf.CONF
RARE_LOG = RareLog(__name__)

MULTIPLIER = "sharing_weight_multiplier"


class SharingWeigher(weights.BaseHostWeigher):
    """Expected fraction of the guest's memory that is shared, 0 to 1."""

    # Without both bounds Nova would stretch a difference of one page to 1.0.
    minval = 0
    maxval = 1

    def __init__(self) -> None:
        # Nova makes one weigher in its master process, and all threads of each
        # forked worker use it: it keeps nothing of a request.
        self._boards = local_board.shared()
        self._recent = recent.shared()
        # The option as each thread read it for the hosts that it weighs.
        self._known = threading.local()

    def weight_multiplier(self, host_state: Any) -> float:
        """The least value among the host's aggregates, or the option's."""
        try:
            aggregates = host_state.aggregates
            if aggregates:
                numbers = [
                    number
                    for aggregate in aggregates
                    if (value := aggregate.metadata.get(MULTIPLIER)) is not None
                    and (number := _number(value, f"aggregate {aggregate.name}"))
                    is not None
                ]
                if numbers:
                    return min(numbers)
            known: float | None = getattr(self._known, "multiplier", None)
            return _option() if known is None else known
        except Exception as error:  # noqa: BLE001 Nova must place on
            RARE_LOG.warning("multiplier", "no multiplier, 0 is used: %r", error)
            return 0.0

    def weigh_objects(
        self, weighed_obj_list: Sequence[Any], weight_properties: Any
    ) -> list[float]:
        """The weights of all hosts, in order; prepares a request only once."""
        states = [weighed.obj for weighed in weighed_obj_list]
        found = self._weigh(states, weight_properties)
        # Nova asks for the multiplier next, of one host after the other.
        self._remember_option()
        return found

    def _weigh_object(self, obj: Any, weight_properties: Any) -> float:
        return self._weigh([obj], weight_properties)[0]

    def _remember_option(self) -> None:
        try:
            self._known.multiplier = _option()
        except Exception:  # noqa: BLE001 weight_multiplier will tell
            self._known.multiplier = None

    def _weigh(self, states: Sequence[Any], spec: Any) -> list[float]:
        try:
            board = self._boards.current()
            if board is None:
                return [0.0] * len(states)
            score = RequestScorer(board, self._recent, spec, states).score
        except Exception as error:  # noqa: BLE001 Nova must place on
            RARE_LOG.warning("request", "a request is not scored: %r", error)
            return [0.0] * len(states)
        found = []
        for state in states:
            try:
                found.append(score(state))
            except Exception as error:  # noqa: BLE001 Nova must place on
                RARE_LOG.warning("host", "host %s is not scored: %r", state, error)
                found.append(0.0)
        return found


def _option() -> float:
    option = CONF.membuddies.sharing_weight_multiplier
    return _number(option, "[membuddies] in nova.conf") or 0.0


def _number(value: object, origin: str) -> float | None:
    """A multiplier, None if it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number):
        return number
    RARE_LOG.warning(
        f"multiplier of {origin}",
        "%s of %s is ignored: %r is no finite number",
        MULTIPLIER,
        origin,
        value,
    )
    return None
