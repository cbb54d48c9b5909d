# SPDX-License-Identifier: Apache-2.0
"""The Keystone in front of the clouds that tests emulate, and the way to it."""

import datetime
from collections.abc import Mapping
from typing import Any

REGION = "RegionOne"
USER = "5fce3a5f5bb24a3c9f2e5c6a4c1d0b11"
PROJECT = "9d7c4b1e2f3a4c5d8e6f7a8b9c0d1e2f"


def credentials(group: str, url: str, timeout_seconds: int) -> str:
    """A section of a configuration file that leads to an emulated cloud.

    :param url: of the cloud, whose Keystone is below ``/identity``
    """
    return f"""\
[{group}]
auth_type = v3password
auth_url = {url}/identity/v3
username = membuddies
password = secret
project_name = service
user_domain_id = default
project_domain_id = default
region_name = {REGION}
timeout = {timeout_seconds}
"""


def token(services: Mapping[str, str]) -> dict[str, Any]:
    """What Keystone answers to any credential; the token is good for an hour.

    :param services: URLs by the type of the service
    """
    now = datetime.datetime.now(datetime.UTC)
    domain = {"id": "default", "name": "Default"}
    return {
        "token": {
            "methods": ["password"],
            "user": {"id": USER, "name": "membuddies", "domain": domain},
            "project": {"id": PROJECT, "name": "service", "domain": domain},
            "roles": [{"id": "r1", "name": "admin"}],
            "catalog": [
                {
                    "type": kind,
                    "id": kind,
                    "name": kind,
                    "endpoints": [
                        {
                            "id": kind,
                            "interface": "public",
                            "region": REGION,
                            "region_id": REGION,
                            "url": url,
                        }
                    ],
                }
                for kind, url in services.items()
            ],
            "issued_at": _stamp(now),
            "expires_at": _stamp(now + datetime.timedelta(hours=1)),
            "audit_ids": ["a1"],
        }
    }


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
