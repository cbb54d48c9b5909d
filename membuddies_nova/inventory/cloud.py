# SPDX-License-Identifier: Apache-2.0
"""Reading requests to OpenStack's services, page by page, for the reader.

It only ever sends GET. What it returns is the services' JSON; what that means is
the matter of :mod:`hosts` and :mod:`guests`.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import openstack
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import loading
from openstack import exceptions as sdk_exceptions
from oslo_config import cfg

from membuddies_nova import exceptions
from membuddies_nova.conf import inventory as options

PAGE_LIMIT = 1000
"""What we ask for; each service's own limit may be lower."""

_MOST_CIRCLES = 10
_CIRCLE_SECONDS = 0.5

Json = dict[str, Any]

_NAMES = {
    "compute": "Nova",
    "placement": "Placement",
    "image": "Glance",
    "block_storage": "Cinder",
}
# The first versions that tell all that the inventory needs. Nova 2.100 (release
# 2025.1) shows scheduler hints, 2.98 the image's properties, 2.96 the zone that a
# guest is pinned to.
_MICROVERSIONS = {"compute": "2.100", "placement": "1.20"}


class InventoryError(exceptions.MembuddiesError):
    """The cloud gave no whole answer; the last good inventory stays."""


class NotFoundError(InventoryError):
    """The service has nothing under that path."""


class Cloud:
    """One authenticated connection, as group ``[inventory]`` says.

    Every method raises :class:`InventoryError` when there is no whole answer.
    """

    def __init__(self, connection: openstack.connection.Connection) -> None:
        self._connection = connection

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Connect; nothing is sent yet.

        :raises ConfigurationError: if the group names no way to authenticate
        """
        group = conf[options.GROUP]
        place = {"region_name": group.region_name, "interface": group.interface}
        try:
            if group.cloud:
                return cls(
                    openstack.connect(
                        cloud=group.cloud,
                        load_envvars=False,
                        api_timeout=group.timeout,
                        **{key: value for key, value in place.items() if value},
                    )
                )
            auth = loading.load_auth_from_conf_options(conf, options.GROUP)
            if auth is None:
                raise exceptions.ConfigurationError(
                    "[inventory] names no credentials: set auth_type and the "
                    "options of that type, or cloud"
                )
            session = loading.load_session_from_conf_options(
                conf, options.GROUP, auth=auth
            )
        except (
            keystone_exceptions.ClientException,
            sdk_exceptions.SDKException,
        ) as error:
            raise exceptions.ConfigurationError(
                f"[inventory] {_line(error)}"
            ) from error
        return cls(
            openstack.connection.Connection(
                session=session, app_name="membuddies-controller", **place
            )
        )

    def get(
        self, service: str, path: str, params: Mapping[str, Any] | None = None
    ) -> Json:
        """One answer.

        :param service: ``compute``, ``placement``, ``image``, ``block_storage``
        :raises NotFoundError: for 404
        """
        where = f"{_NAMES[service]}: GET {path}"
        try:
            answer = getattr(self._connection, service).get(
                path, params=params, microversion=_MICROVERSIONS.get(service)
            )
            sdk_exceptions.raise_from_response(answer)
            body = answer.json()
        except sdk_exceptions.NotFoundException as error:
            raise NotFoundError(f"{where}: {_line(error)}") from error
        except sdk_exceptions.ForbiddenException as error:
            raise InventoryError(
                f"{where}: refused to the reader's credential ({_line(error)}); give "
                f"it the role admin, or allow that rule in the service's policy"
            ) from error
        except (
            keystone_exceptions.ClientException,
            sdk_exceptions.SDKException,
            ValueError,
        ) as error:
            raise InventoryError(f"{where}: {_line(error)}") from error
        if not isinstance(body, dict):
            raise InventoryError(f"{where}: the answer is no JSON object")
        return body

    def listed(
        self,
        service: str,
        path: str,
        key: str,
        params: Mapping[str, Any] | None = None,
        *,
        by_offset: bool = False,
    ) -> list[Json]:
        """All records of a list that the service gives in pages, each once.

        :param key: of the records in the answer
        :param by_offset: the list knows no marker
        """
        found: dict[str, Json] = {}
        for record in self._pages(service, path, key, dict(params or {}), by_offset):
            found[str(record.get("id"))] = record
        return list(found.values())

    def _pages(
        self, service: str, path: str, key: str, params: Json, by_offset: bool
    ) -> Iterator[Json]:
        params["limit"] = PAGE_LIMIT
        markers: set[str] = set()
        offset = circles = 0
        while True:
            page = self.get(service, path, params).get(key)
            if not isinstance(page, list):
                raise InventoryError(
                    f"{_NAMES[service]}: GET {path}: the answer lacks {key!r}"
                )
            yield from page
            if not page:
                return
            offset += len(page)
            marker = str(page[-1].get("id"))
            if marker in markers:
                # Nova lists a guest that is being built before all others, and for
                # a moment in its cell, too. As long as it is both, the page behind
                # it is the first one (nova.compute.api, API.get_all).
                circles += 1
                if circles > _MOST_CIRCLES:
                    raise InventoryError(
                        f"{_NAMES[service]}: GET {path}: the pages go in a circle "
                        f"from {marker} on; if that guest has long been built, "
                        f"a build request of it was left behind"
                    )
                time.sleep(_CIRCLE_SECONDS)
                markers.clear()
            markers.add(marker)
            params["offset" if by_offset else "marker"] = (
                offset if by_offset else marker
            )


def _line(error: Exception) -> str:
    """An error as one line; a service's own words, not its page of HTML."""
    text = " ".join(str(getattr(error, "details", None) or error).split())
    return text or type(error).__name__
