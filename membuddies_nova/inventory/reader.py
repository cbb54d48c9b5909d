# SPDX-License-Identifier: Apache-2.0
"""The inventory reader: what the cloud is made of, in one reading.

For ``membuddies-controller``. It never changes anything in the cloud. A reading
is whole or it is nothing: after any failure the last good inventory stays in the
database, with the error beside it.

What it calls, all of it GET, and the policy rule that must let it (an application
credential's access rules need the paths). Nova's rules begin with
``os_compute_api:``, Placement's with ``placement:resource_providers:``.

=========  ==========================================  =============================
service    path                                        rule
=========  ==========================================  =============================
Nova       /v2.1/servers/detail?all_tenants=1          servers:detail:get_all_tenants
Nova       /v2.1/os-services?binary=nova-compute       os-services:list
Nova       /v2.1/os-hypervisors/detail                 os-hypervisors:list-detail
Nova       /v2.1/os-aggregates                         os-aggregates:index
Nova       /v2.1/os-server-groups?all_projects=true    os-server-groups:index
Nova       /v2.1/os-server-groups/{id}                 os-server-groups:show
Nova       /v2.1/os-migrations?instance_uuid={id}      os-migrations:index
Placement  /resource_providers/{id}/inventories        inventories:list
Placement  /resource_providers/{id}/traits             traits:list
Glance     /v2/images?visibility=all                   get_images
Cinder     /v3/{project}/volumes/detail?all_tenants=1  volume:get_all
=========  ==========================================  =============================

The list of servers must also show the guests' hosts
(``os-extended-server-attributes``) and extra specs
(``os-flavor-extra-specs:index``). A server group is read by its id only for a
credential that is not an administrator: Nova lists the groups of all projects to
administrators alone. Migrations are asked for of each guest that is between two hosts
(since Nova 2025.2 the rules ``os-migrations:index:all_projects`` and
``os-migrations:index:host`` must allow it, too); where that is refused, such a guest
counts on one of them. Cinder is asked only while there are volume-booted guests;
where it does not answer, their image is unknown. Traits are asked for only when a
provider has changed; where they are refused, processors are not compared. Nova must
know microversion 2.100 (release 2025.1).
"""

from oslo_config import cfg
from oslo_log import log as logging

from membuddies_nova import exceptions
from membuddies_nova.cluster import Guest, Host, Image
from membuddies_nova.conf import inventory as options
from membuddies_nova.db import inventory
from membuddies_nova.db.api import Database
from membuddies_nova.inventory.cloud import (
    Cloud,
    InventoryError,
    Json,
    NotFoundError,
)
from membuddies_nova.inventory.guests import (
    ImageFacts,
    Surroundings,
    group_hints,
    groups_by_member,
    guests_of,
    images_of,
    is_volume_booted,
    volume_images,
)
from membuddies_nova.inventory.hosts import (
    aggregates_by_host,
    hosts_of,
    require_all_cells,
)
from membuddies_nova.inventory.providers import Providers
from membuddies_nova.inventory.shortcoming import Shortcoming
from membuddies_nova.inventory.transit import Transit

LOG = logging.getLogger(__name__)


class InventoryReader:
    """Reads the cloud as group ``[inventory]`` says. For one thread.

    :raises ConfigurationError: if the group names no way to authenticate
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._options = conf[options.GROUP]
        self._cloud = Cloud.from_conf(conf)
        self._providers = Providers(self._cloud)
        self._transit = Transit(self._cloud)
        self._volume_images: dict[str, ImageFacts] = {}
        self._no_cinder = Shortcoming(LOG)

    def read(self, now: float) -> tuple[list[Host], list[Guest], list[Image]]:
        """The hosts, guests and images of the whole cloud.

        :param now: seconds since the epoch
        :raises InventoryError: if anything of it could not be read
        """
        try:
            return self._read(now)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InventoryError(
                f"an answer of the cloud lacks what its version promises: "
                f"{type(error).__name__} {error}"
            ) from error

    def refresh(self, database: Database, now: float) -> bool:
        """Read the cloud into the database, or note there why that failed.

        :param now: seconds since the epoch
        :returns: whether the inventory is new
        :raises DatabaseUnavailableError: if it does not answer
        """
        try:
            hosts, guests, images = self.read(now)
        except exceptions.MembuddiesError as error:
            LOG.warning("Inventory not read: %s", error)
            reason = str(error)
            database.write(lambda session: inventory.failed(session, reason, now))
            return False
        database.write(
            lambda session: inventory.replace(session, hosts, guests, now, images)
        )
        LOG.debug("Inventory read: %d hosts, %d guests", len(hosts), len(guests))
        return True

    def _read(self, now: float) -> tuple[list[Host], list[Guest], list[Image]]:
        require_all_cells(self._services())
        servers = self._cloud.listed(
            "compute",
            "/servers/detail",
            "servers",
            {"all_tenants": 1, "sort_key": "created_at", "sort_dir": "asc"},
        )
        transit = self._transit.read(servers)
        groups = self._groups(servers)
        hypervisors = self._cloud.listed(
            "compute", "/os-hypervisors/detail", "hypervisors"
        )
        aggregates = self._cloud.get("compute", "/os-aggregates")["aggregates"]
        images = self._cloud.listed("image", "/images", "images", {"visibility": "all"})
        self._ask_cinder(servers)
        providers = self._providers.read(hypervisor["id"] for hypervisor in hypervisors)
        # Asked again: a cell that went away meanwhile left its guests out.
        services = self._services()
        require_all_cells(services)
        surroundings = Surroundings(
            images={image["id"]: image for image in images},
            volume_images=self._volume_images,
            groups=groups_by_member(groups),
            aggregates=aggregates_by_host(aggregates),
            transit=transit,
            unmovable_projects=self._options.unmovable_projects,
        )
        return (
            hosts_of(
                services,
                hypervisors,
                aggregates,
                providers,
                self._options.guest_overhead_mb,
            ),
            guests_of(servers, surroundings, now),
            images_of(images),
        )

    def _services(self) -> list[Json]:
        services: list[Json] = self._cloud.get(
            "compute", "/os-services", {"binary": "nova-compute"}
        )["services"]
        return services

    def _groups(self, servers: list[Json]) -> list[Json]:
        """The server groups that the servers were booted into."""
        groups = self._cloud.listed(
            "compute",
            "/os-server-groups",
            "server_groups",
            {"all_projects": "true"},
            by_offset=True,
        )
        known = {group["id"] for group in groups}
        for group_id in sorted(group_hints(servers) - known):
            try:
                answer = self._cloud.get("compute", f"/os-server-groups/{group_id}")
            except NotFoundError:
                continue  # deleted since; its policy binds nobody any more
            groups.append(answer["server_group"])
        return groups

    def _ask_cinder(self, servers: list[Json]) -> None:
        """Learn the images of volume-booted guests; keep them if Cinder is away."""
        booted = {server["id"] for server in servers if is_volume_booted(server)}
        self._volume_images = {
            guest: image
            for guest, image in self._volume_images.items()
            if guest in booted
        }
        if not booted:
            return
        try:
            volumes = self._cloud.listed(
                "block_storage", "/volumes/detail", "volumes", {"all_tenants": 1}
            )
        except InventoryError as error:
            self._no_cinder.tell(
                "The images of %d volume-booted guests are not known anew: %s",
                len(booted),
                error=error,
            )
            return
        self._no_cinder.end()
        self._volume_images |= volume_images(servers, volumes)
