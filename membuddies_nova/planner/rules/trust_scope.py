# SPDX-License-Identifier: Apache-2.0
"""The rule of guests that must not share merged pages with each other."""

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation


class TrustScopes(Rule):
    """What KsmIsolationFilter would refuse, where it is enabled.

    A shared page is a side channel: guests of different trust scopes stay on
    different hosts, unless a host is kept free of KSM.
    """

    name = "trust-scopes"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        if not situation.limits.scopes_apart or not host.may_merge:
            return None
        for other in situation.present_on(host):
            if other.trust_key != guest.trust_key:
                return f"{other.name} on {host.name} is of another trust scope"
        return None
