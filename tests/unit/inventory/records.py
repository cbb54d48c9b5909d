# SPDX-License-Identifier: Apache-2.0
"""Records as Nova, Placement, Glance and Cinder write them, for tests to vary.

Nova's are checked against Nova's own response schemas in test_records.
"""

from typing import Any

NODE = "22222222-2222-4222-8222-22222222222{}"
GUEST = "11111111-1111-4111-8111-11111111111{}"
GROUP = "33333333-3333-4333-8333-333333333333"
IMAGE = "44444444-4444-4444-8444-444444444444"
PROJECT = "9d7c4b1e2f3a4c5d8e6f7a8b9c0d1e2f"

Record = dict[str, Any]


def server(number: int = 1, host: str | None = "c1", **changes: Any) -> Record:
    return {
        "id": GUEST.format(number),
        "name": f"vm{number}",
        "status": "ACTIVE",
        "tenant_id": PROJECT,
        "user_id": "5fce3a5f5bb24a3c9f2e5c6a4c1d0b11",
        "metadata": {},
        "hostId": "",
        "image": {
            "id": IMAGE,
            "links": [],
            "properties": {"hw_machine_type": "q35"},
        },
        "flavor": {
            "vcpus": 2,
            "ram": 512,
            "disk": 10,
            "ephemeral": 1,
            "swap": 100,
            "original_name": "m1.small",
            "extra_specs": {},
        },
        "created": "2026-11-24T10:00:00Z",
        "updated": "2026-11-24T10:00:00Z",
        "addresses": {},
        "accessIPv4": "",
        "accessIPv6": "",
        "links": [],
        "OS-DCF:diskConfig": "MANUAL",
        "progress": 0,
        "OS-EXT-AZ:availability_zone": "nova",
        "pinned_availability_zone": None,
        "config_drive": "",
        "key_name": None,
        "OS-SRV-USG:launched_at": "2026-11-24T10:00:00.000000",
        "OS-SRV-USG:terminated_at": None,
        "OS-EXT-SRV-ATTR:host": host,
        "OS-EXT-SRV-ATTR:instance_name": f"instance-0000000{number}",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": host and f"{host}.example.org",
        "OS-EXT-SRV-ATTR:hostname": f"vm{number}",
        "OS-EXT-SRV-ATTR:kernel_id": "",
        "OS-EXT-SRV-ATTR:launch_index": 0,
        "OS-EXT-SRV-ATTR:ramdisk_id": "",
        "OS-EXT-SRV-ATTR:reservation_id": "r-1",
        "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
        "OS-EXT-SRV-ATTR:user_data": None,
        "OS-EXT-STS:task_state": None,
        "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:power_state": 1,
        "os-extended-volumes:volumes_attached": [],
        "host_status": "UP",
        "locked": False,
        "locked_reason": None,
        "description": None,
        "tags": [],
        "trusted_image_certificates": None,
        "scheduler_hints": {},
        **changes,
    }


def flavor(**extra_specs: str) -> Record:
    return {**server()["flavor"], "extra_specs": extra_specs}


def service(host: str = "c1", **changes: Any) -> Record:
    return {
        "id": "55555555-5555-4555-8555-555555555555",
        "binary": "nova-compute",
        "host": host,
        "zone": "nova",
        "status": "enabled",
        "state": "up",
        "updated_at": "2026-11-24T10:00:00.000000",
        "disabled_reason": None,
        "forced_down": False,
        **changes,
    }


def hypervisor(number: int = 1, host: str = "c1", **changes: Any) -> Record:
    return {
        "id": NODE.format(number),
        "hypervisor_hostname": f"{host}.example.org",
        "state": "up",
        "status": "enabled",
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7002022,
        "host_ip": "10.77.0.11",
        "service": {
            "id": "55555555-5555-4555-8555-555555555555",
            "host": host,
            "disabled_reason": None,
        },
        "uptime": None,
        **changes,
    }


def aggregate(name: str, *hosts: str, **metadata: str) -> Record:
    return {
        "id": 1,
        "uuid": "66666666-6666-4666-8666-666666666666",
        "name": name,
        "hosts": list(hosts),
        "metadata": metadata,
        "availability_zone": None,
        "created_at": "2026-11-24T10:00:00.000000",
        "updated_at": None,
        "deleted_at": None,
        "deleted": False,
    }


def group(*members: str, **changes: Any) -> Record:
    return {
        "id": GROUP,
        "name": "web",
        "policy": "anti-affinity",
        "rules": {"max_server_per_host": 2},
        "members": list(members),
        "project_id": PROJECT,
        "user_id": "5fce3a5f5bb24a3c9f2e5c6a4c1d0b11",
        **changes,
    }


def inventory(total: int, reserved: int = 0, ratio: float = 1.0) -> Record:
    return {"total": total, "reserved": reserved, "allocation_ratio": ratio}


def migration(
    source: str | None, destination: str | None, guest: int = 1, **changes: Any
) -> Record:
    return {
        "id": 7,
        "uuid": "88888888-8888-4888-8888-888888888888",
        "instance_uuid": GUEST.format(guest),
        "migration_type": "live-migration",
        "status": "running",
        "source_compute": source,
        "source_node": source and f"{source}.example.org",
        "dest_compute": destination,
        "dest_node": destination and f"{destination}.example.org",
        "dest_host": None,
        "old_instance_type_id": 1,
        "new_instance_type_id": 1,
        "user_id": "5fce3a5f5bb24a3c9f2e5c6a4c1d0b11",
        "project_id": PROJECT,
        "created_at": "2026-11-24T10:00:00.000000",
        "updated_at": None,
        **changes,
    }


def volume(server_id: str, device: str = "/dev/vda", image: str = IMAGE) -> Record:
    return {
        "id": "77777777-7777-4777-8777-777777777777",
        "attachments": [{"server_id": server_id, "device": device}],
        "volume_image_metadata": {"image_id": image, "os_distro": "debian"},
    }
