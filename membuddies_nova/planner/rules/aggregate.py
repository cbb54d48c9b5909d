# SPDX-License-Identifier: Apache-2.0
"""Rules of host aggregates, kept as Nova's filters keep them."""

from membuddies_nova.cluster import Guest, Host
from membuddies_nova.planner.rules.rule import Rule
from membuddies_nova.planner.situation import Situation

_SCOPE = "aggregate_instance_extra_specs:"
_TENANT = "filter_tenant_id"


class AggregateExtraSpecs(Rule):
    """Nova's AggregateInstanceExtraSpecsFilter, for specs in its own scope.

    Values are compared as words, and alternatives (``<or> a <or> b``) one by
    one. Nova's other operators are not known here, so a flavor that uses one
    keeps its guests where they are.
    """

    name = "aggregate-extra-specs"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        for spec, wanted in guest.extra_specs.items():
            if not spec.startswith(_SCOPE):
                continue
            key = spec.removeprefix(_SCOPE)
            told = _told(host, key)
            words = {part.strip() for part in wanted.split("<or>")} - {""}
            if not told & words:
                return f"its flavor asks for an aggregate with {key} {wanted}"
        return None


class AggregateTenants(Rule):
    """Nova's AggregateMultiTenancyIsolation: hosts kept for some projects."""

    name = "aggregate-tenants"

    def stops(self, guest: Guest, host: Host, situation: Situation) -> str | None:
        projects = {
            project.strip()
            for aggregate in host.aggregates
            for key, value in aggregate.metadata.items()
            if key.startswith(_TENANT)
            for project in value.split(",")
        }
        if not projects or guest.project in projects:
            return None
        return f"{host.name} is kept for other projects"


def _told(host: Host, key: str) -> set[str]:
    """What a host's aggregates say of a key; several words may be given."""
    return {
        word.strip()
        for aggregate in host.aggregates
        if key in aggregate.metadata
        for word in aggregate.metadata[key].split(",")
    }
