# SPDX-License-Identifier: Apache-2.0
"""What stands in our slots of nova.conf for comparison: it decides nothing."""

from typing import Any

from nova.scheduler import filters, weights


class ConstantWeigher(weights.BaseHostWeigher):
    """Returns a constant, as cheaply as a weigher can."""

    minval = 0
    maxval = 1

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        return 0.0


class PassAll(filters.BaseHostFilter):
    """Passes every host."""

    run_filter_once_per_request = False

    def host_passes(self, host_state: Any, filter_properties: Any) -> bool:
        return True


class PassAllToo(PassAll):
    """Passes every host, in another slot."""
