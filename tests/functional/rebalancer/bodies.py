# SPDX-License-Identifier: Apache-2.0
"""Bodies of the emulated Nova's answers, complete as Nova gives them."""

import uuid
from typing import Any

from tests.functional.keystone import PROJECT, USER
from tests.functional.rebalancer.fake_cloud import (
    RUNNING_STATES,
    FakeServer,
    Record,
    stamp,
)


def record_body(record: Record, url: str) -> dict[str, Any]:
    """An entry of GET /os-migrations at 2.80."""
    body: dict[str, Any] = {
        "created_at": stamp(record.created),
        "dest_compute": record.destination,
        "dest_host": None,
        "dest_node": record.destination,
        "id": record.id,
        "instance_uuid": record.server,
        "new_instance_type_id": 1,
        "old_instance_type_id": 1,
        "source_compute": record.source,
        "source_node": record.source,
        "status": record.status,
        "updated_at": stamp(record.created),
        "migration_type": record.kind,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(record.id))),
        "project_id": PROJECT,
        "user_id": record.user,
    }
    if record.kind == "live-migration" and record.status in RUNNING_STATES:
        path = f"servers/{record.server}/migrations/{record.id}"
        body["links"] = [
            {"rel": "self", "href": f"{url}/compute/v2.1/{path}"},
            {"rel": "bookmark", "href": f"{url}/compute/{path}"},
        ]
    return body


def server_body(server: FakeServer, status: str) -> dict[str, Any]:
    """GET /servers/ID at 2.73 to 2.95, as an administrator sees it."""
    body: dict[str, Any] = {
        "accessIPv4": "192.0.2.1",
        "accessIPv6": "2001:db8::1",
        "addresses": {},
        "config_drive": "",
        "created": "2026-11-24T08:00:00Z",
        "flavor": {
            "disk": 0,
            "ephemeral": 0,
            "original_name": "m1",
            "ram": 256,
            "swap": 0,
            "vcpus": 1,
            "extra_specs": {},
        },
        "hostId": "2091634baaccdc4c5a1d57069c833e402921df696b7f970791b12ec6",
        "host_status": "UP",
        "id": server.uuid,
        "image": {
            "id": "70a599e0-31e7-49b7-b260-868f441e862b",
            "links": [{"rel": "bookmark", "href": "http://127.0.0.1/images/1"}],
        },
        "key_name": None,
        "links": [{"rel": "self", "href": f"http://127.0.0.1/servers/{server.uuid}"}],
        "metadata": {},
        "name": "vm",
        "os-extended-volumes:volumes_attached": [],
        "progress": 0,
        "status": status,
        "tenant_id": PROJECT,
        "updated": "2026-11-24T08:00:05Z",
        "user_id": USER,
        "OS-DCF:diskConfig": "AUTO",
        "OS-EXT-AZ:availability_zone": "nova",
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hostname": "vm",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
        "OS-EXT-SRV-ATTR:instance_name": "instance-00000001",
        "OS-EXT-SRV-ATTR:kernel_id": "",
        "OS-EXT-SRV-ATTR:launch_index": 0,
        "OS-EXT-SRV-ATTR:ramdisk_id": "",
        "OS-EXT-SRV-ATTR:reservation_id": "r-1",
        "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
        "OS-EXT-SRV-ATTR:user_data": None,
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.status.lower(),
        "OS-SRV-USG:launched_at": "2026-11-24T08:00:05.000000",
        "OS-SRV-USG:terminated_at": None,
        "locked": server.locked,
        "locked_reason": None,
        "description": None,
        "tags": [],
        "trusted_image_certificates": None,
        "server_groups": [],
    }
    return body
