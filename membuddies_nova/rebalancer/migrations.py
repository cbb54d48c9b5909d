# SPDX-License-Identifier: Apache-2.0
"""Nova, as far as the rebalancer needs it: servers, services and migrations.

For the moves, which see only the values defined here. The only file of the
rebalancer that speaks to Nova. It never repeats a request by itself, never
forces a destination, and never touches what a live migration does not need.

A live migration is asked for with a microversion in which ``force`` does not
exist any more (2.68), so Nova's scheduler checks the destination that we name.
Since 2.34 Nova answers before it has checked anything: what it refuses later
shows as a migration record in ``error``, and why it did so as the details of a
server action's event (2.84).
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any, Self

import openstack
from keystoneauth1 import exceptions as keystone_exceptions
from keystoneauth1 import loading
from openstack import exceptions as sdk_exceptions
from oslo_config import cfg

from membuddies_nova import exceptions
from membuddies_nova.conf import rebalancer as options

MICROVERSION = "2.84"

SUCCESS = frozenset({"completed"})
FAILURE = frozenset({"failed", "error", "cancelled"})
_UNDER_WAY = (
    "accepted",
    "queued",
    "preparing",
    "running",
    "running (post-copy)",
    "pre-migrating",
    "migrating",
    "post-migrating",
)
_LIVE = "live-migration"


class NovaUnavailableError(exceptions.MembuddiesError):
    """Nova or Keystone gave no usable answer to a question; ask later."""


class RefusedError(exceptions.MembuddiesError):
    """Nova said no to a request; its text is Nova's reason."""


class OutcomeUnknownError(exceptions.MembuddiesError):
    """No answer to a request that may have been accepted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A guest as Nova sees it at this moment."""

    uuid: str
    host: str | None
    status: str
    task_state: str | None
    locked: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One of Nova's migration records.

    :ivar id: rises with each record of a server
    :ivar server: the guest's uuid
    :ivar destination: None until Nova's scheduler has agreed
    :ivar user: who asked for it, None on clouds that do not tell
    :ivar created_at: seconds since the epoch, by Nova's clock
    """

    id: int
    server: str
    source: str | None
    destination: str | None
    status: str
    kind: str
    user: str | None
    created_at: float

    @property
    def succeeded(self) -> bool:
        return self.status in SUCCESS

    @property
    def failed(self) -> bool:
        return self.status in FAILURE


class Nova:
    """One authenticated connection to Nova.

    Every method raises :class:`NovaUnavailableError` when there is no answer, unless
    it says otherwise.
    """

    def __init__(self, connection: openstack.connection.Connection) -> None:
        self._connection = connection

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> Self:
        """Connect as group ``[rebalancer]`` says; nothing is sent yet.

        :raises ConfigurationError: if it names no way to authenticate
        """
        group = conf[options.GROUP]
        place = {"region_name": group.region_name, "interface": group.interface}
        if group.cloud:
            try:
                return cls(
                    openstack.connect(
                        cloud=group.cloud,
                        api_timeout=group.timeout,
                        **{key: value for key, value in place.items() if value},
                    )
                )
            except sdk_exceptions.SDKException as error:
                raise exceptions.ConfigurationError(
                    f"[rebalancer] cloud = {group.cloud}: {error}"
                ) from error
        try:
            auth = loading.load_auth_from_conf_options(conf, options.GROUP)
            if auth is None:
                raise exceptions.ConfigurationError(
                    "[rebalancer] names no credentials: set auth_type and the "
                    "options of that type, or cloud"
                )
            session = loading.load_session_from_conf_options(
                conf, options.GROUP, auth=auth
            )
        except keystone_exceptions.AuthPluginException as error:
            raise exceptions.ConfigurationError(f"[rebalancer] {error}") from error
        return cls(
            openstack.connection.Connection(
                session=session, app_name="membuddies-rebalancer", **place
            )
        )

    def user(self) -> str | None:
        """The id of the user as whom we ask."""
        with _answers():
            return self._connection.session.get_user_id()

    def server(self, uuid: str) -> Server | None:
        """A server, None if Nova does not know it (any more)."""
        with _answers():
            try:
                found = self._connection.compute.get_server(uuid)
            except sdk_exceptions.NotFoundException:
                return None
            return Server(
                uuid=uuid,
                host=found.compute_host,
                status=found.status,
                task_state=found.task_state,
                locked=bool(found.is_locked),
            )

    def host_refusal(self, host: str) -> str | None:
        """Why a host takes no guest now, None if it does."""
        with _answers():
            found = list(
                self._connection.compute.services(binary="nova-compute", host=host)
            )
        if not found:
            return f"Nova knows no compute service on host {host}"
        for service in found:
            if service.status != "enabled":
                return f"the compute service of host {host} is {service.status}"
            if service.state != "up" or service.is_forced_down:
                return f"the compute service of host {host} is down"
        return None

    def migrations(self, uuid: str) -> list[Migration]:
        """All live migrations that a server ever had, the oldest first."""
        found = self._list(server_id=uuid, migration_type=_LIVE)
        return sorted(found, key=lambda migration: migration.id)

    def under_way(self) -> list[Migration]:
        """Every migration that has not ended, of any kind, by anybody."""
        return [
            migration
            for status in _UNDER_WAY
            for migration in self._list(status=status)
        ]

    def live_migrations_since(self, moment: float) -> list[Migration]:
        """Live migrations that began at ``moment`` or later, by anybody."""
        since = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        found = self._list(
            migration_type=_LIVE, changes_since=since.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
        return [migration for migration in found if migration.created_at >= moment]

    def start(self, uuid: str, destination: str) -> None:
        """Ask once for a live migration to a host that the scheduler checks.

        :raises RefusedError: Nova said no; nothing was started
        :raises OutcomeUnknownError: no answer, or one that leaves it open
        """
        body = {"os-migrateLive": {"host": destination, "block_migration": "auto"}}
        try:
            answer = self._connection.compute.post(
                f"/servers/{uuid}/action",
                json=body,
                microversion=MICROVERSION,
                connect_retries=0,
                status_code_retries=0,
                raise_exc=False,
            )
        except (
            keystone_exceptions.ClientException,
            sdk_exceptions.SDKException,
        ) as error:
            raise OutcomeUnknownError(_line(error)) from error
        if 400 <= answer.status_code < 500 and answer.status_code != 408:
            raise RefusedError(f"HTTP {answer.status_code}: {_fault(answer)}")
        if answer.status_code != 202:
            raise OutcomeUnknownError(f"HTTP {answer.status_code}: {_fault(answer)}")

    def abort(self, migration: Migration) -> None:
        """Ask for the end of a live migration that is under way.

        :raises RefusedError: it is too late, or too early
        """
        with _answers():
            try:
                self._connection.compute.abort_server_migration(
                    migration.id, migration.server, ignore_missing=False
                )
            except (
                sdk_exceptions.NotFoundException,
                sdk_exceptions.BadRequestException,
                sdk_exceptions.ConflictException,
            ) as error:
                raise RefusedError(_line(error)) from error

    def reason(self, uuid: str) -> str | None:
        """What Nova says went wrong with a server's newest live migration."""
        with _answers():
            compute = self._connection.compute
            actions = [
                action
                for action in compute.server_actions(uuid)
                if action.action == _LIVE
            ]
            if not actions:
                return None
            newest = max(actions, key=lambda action: action.start_time)
            full = compute.get_server_action(newest.request_id, uuid)
        details = [
            event.get("details") or event.get("event")
            for event in full.events or ()
            if event.get("result") == "Error"
        ]
        return "; ".join(dict.fromkeys(filter(None, details))) or full.message

    def _list(self, **query: str) -> list[Migration]:
        with _answers():
            return [
                Migration(
                    id=record.id,
                    server=record.server_id,
                    source=record.source_compute,
                    destination=record.dest_compute,
                    status=record.status,
                    kind=record.migration_type,
                    user=record.user_id,
                    created_at=_epoch(record.created_at),
                )
                for record in self._connection.compute.migrations(**query)
            ]


@contextlib.contextmanager
def _answers() -> Iterator[None]:
    """Turn the many ways of getting no answer into one."""
    try:
        yield
    except (keystone_exceptions.ClientException, sdk_exceptions.SDKException) as error:
        raise NovaUnavailableError(_line(error)) from error


def _epoch(text: str) -> float:
    """Nova writes UTC, with or without saying so."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _fault(answer: Any) -> str:
    """The message of Nova's fault body, or the status line without one."""
    try:
        fault = next(iter(answer.json().values()))
        return " ".join(str(fault["message"]).split())
    except (ValueError, AttributeError, StopIteration, KeyError, TypeError):
        return str(answer.reason)
