# SPDX-License-Identifier: Apache-2.0
"""That the records the other tests use are such as Nova writes."""

import jsonschema
import pytest
from nova.api.openstack.compute.schemas import (
    aggregates,
    hypervisors,
    migrations,
    server_groups,
    servers,
    services,
)

from tests.unit.inventory import records


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (
            servers.detail_response_v2100,
            {"servers": [records.server(), records.server(host=None, image="")]},
        ),
        (services.index_response_v269, {"services": [records.service()]}),
        (hypervisors.detail_response_v288, {"hypervisors": [records.hypervisor()]}),
        (aggregates.index_response_v241, {"aggregates": [records.aggregate("a")]}),
        (server_groups.index_response_v264, {"server_groups": [records.group()]}),
        (
            migrations.index_response_v280,
            {
                "migrations": [
                    records.migration("c1", "c2"),
                    records.migration("c1", None),
                ]
            },
        ),
    ],
)
def test_a_record_is_such_as_nova_writes(schema, body):
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(body)
