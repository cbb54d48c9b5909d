# SPDX-License-Identifier: Apache-2.0
"""This host's domains, from libvirt: listed, and watched by events.

For the agent's list of guests; the only module that speaks libvirt. Its
connection is read-only. When libvirtd restarts, the next listing connects
again.
"""

import threading
from collections.abc import Callable

import libvirt
from oslo_log import log as logging

from membuddies_agent.domain import Domain, DomainState
from membuddies_nova import exceptions

LOG = logging.getLogger(__name__)

_KEEPALIVE_SECONDS = 5
_KEEPALIVE_COUNT = 3
_EVENT_LOOP_MILLISECONDS = 500
"""How often the event loop looks whether it shall end."""

_SHUT_OFF = {
    libvirt.VIR_DOMAIN_SHUTOFF,
    libvirt.VIR_DOMAIN_CRASHED,
    libvirt.VIR_DOMAIN_NOSTATE,
}
_PAUSED = {libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED}
_INCOMING = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED),
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY),
}
_MEMORY_CAME = {
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED),
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_RESTORED),
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_FROM_SNAPSHOT),
}


class LibvirtUnavailable(exceptions.MembuddiesError):
    """libvirt does not answer."""


class LibvirtDomains:
    """A read-only view of one libvirt daemon.

    :param uri: such as ``qemu:///system``
    :param on_change: called, from another thread, whenever a domain starts,
        stops, pauses, or comes or goes by migration
    """

    def __init__(self, uri: str, on_change: Callable[[], None]) -> None:
        self._uri = uri
        self._on_change = on_change
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._closing = threading.Event()
        self._events: threading.Thread | None = None

    def list(self) -> list[Domain]:
        """All domains, running or not.

        :raises LibvirtUnavailable: if the daemon is away
        """
        with self._lock:
            try:
                connection = self._connected()
                found = [_domain(each) for each in connection.listAllDomains()]
            except libvirt.libvirtError as error:
                self._disconnect()
                raise LibvirtUnavailable(
                    f"libvirt at {self._uri}: {error.get_error_message()}; is its "
                    f"daemon running, and may this user read its socket?"
                ) from None
        return [domain for domain in found if domain is not None]

    def close(self) -> None:
        """End the connection and the event thread."""
        self._closing.set()
        if self._events is not None:
            self._events.join(4 * _EVENT_LOOP_MILLISECONDS / 1000)
        with self._lock:
            self._disconnect()

    def _connected(self) -> libvirt.virConnect:
        if self._connection is not None and self._connection.isAlive():
            return self._connection
        self._disconnect()
        if self._events is None:
            self._start_events()
        connection = libvirt.openReadOnly(self._uri)
        self._connection = connection
        connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None
        )
        LOG.info("Connected to libvirt at %s", self._uri)
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except libvirt.libvirtError as error:
            LOG.debug("Closing the connection to libvirt: %s", error)

    def _start_events(self) -> None:
        # Errors come as exceptions; libvirt shall not print them as well.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        # Must precede the connection whose events it is to deliver.
        libvirt.virEventRegisterDefaultImpl()
        # Without a timer the loop would sleep until libvirt has news.
        libvirt.virEventAddTimeout(
            _EVENT_LOOP_MILLISECONDS, lambda timer, opaque: None, None
        )
        self._events = threading.Thread(
            target=self._run_events, name="libvirt-events", daemon=True
        )
        self._events.start()

    def _run_events(self) -> None:
        while not self._closing.is_set():
            libvirt.virEventRunDefaultImpl()

    def _on_lifecycle(
        self,
        connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: int,
        detail: int,
        opaque: object,
    ) -> None:
        LOG.debug("Lifecycle event %d/%d of %s", event, detail, domain.UUIDString())
        self._on_change()


def _domain(domain: libvirt.virDomain) -> Domain | None:
    """A domain as a value, None if it went away while it was read."""
    try:
        state, reason = domain.state()
        xml = domain.XMLDesc()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    return Domain.from_xml(
        xml, _state(state, reason), memory_came=(state, reason) in _MEMORY_CAME
    )


def _state(state: int, reason: int) -> DomainState:
    if (state, reason) in _INCOMING:
        return DomainState.INCOMING
    if state in _SHUT_OFF:
        return DomainState.SHUT_OFF
    return DomainState.PAUSED if state in _PAUSED else DomainState.RUNNING
