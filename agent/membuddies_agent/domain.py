# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain, reduced to what decides about its fingerprint.

For the agent's list of guests. Reads the domain's XML as libvirt writes it
(https://libvirt.org/formatdomain.html) and knows nothing of connections.
"""

import dataclasses
import enum
from typing import Self
from xml.etree import ElementTree

from membuddies_nova.facts import FINGERPRINT_SOURCE_KEY, Source

_NOVA_NAMESPACES = (
    "http://openstack.org/xmlns/libvirt/nova/1.1",
    "http://openstack.org/xmlns/libvirt/nova/1.0",
)
_QEMU_TYPES = {"qemu", "kvm"}


class DomainState(enum.Enum):
    """A domain's state as far as its memory is concerned.

    ``INCOMING``: its memory has not wholly arrived yet by live migration.
    """

    RUNNING = enum.auto()
    PAUSED = enum.auto()
    INCOMING = enum.auto()
    SHUT_OFF = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One domain at one time.

    :ivar uuid: the instance's uuid, if the domain is Nova's
    :ivar nova: it carries Nova's metadata
    :ivar qemu: it is a QEMU, with or without KVM
    :ivar pinned: a device of the host that is passed through, or memory
        encryption, keeps its memory in place
    :ivar unmergeable: it asks not to be merged (nosharepages)
    :ivar memory_bytes: the most that it can have
    :ivar source: who shall read its memory, as its flavor says; None if that says
        nothing
    :ivar memory_came: its memory is older than its process: it came by live
        migration or was restored
    """

    uuid: str
    name: str
    state: DomainState
    nova: bool
    qemu: bool
    huge_pages: bool
    shared_memory: bool
    pinned: bool
    unmergeable: bool
    memory_bytes: int = 0
    source: Source | None = None
    memory_came: bool = False

    @classmethod
    def from_xml(
        cls, xml: str, state: DomainState, *, memory_came: bool = False
    ) -> Self:
        """Read a domain's XML.

        :raises ValueError: if it is not that of a domain
        """
        try:
            root = ElementTree.fromstring(xml)
        except ElementTree.ParseError as error:
            raise ValueError(f"domain XML: {error}") from None
        uuid, name = root.findtext("uuid"), root.findtext("name")
        if root.tag != "domain" or uuid is None or name is None:
            raise ValueError("domain XML: no domain with a uuid and a name")
        return cls(
            uuid=uuid.lower(),
            name=name,
            state=state,
            nova=any(
                root.find(f"metadata/{{{namespace}}}instance") is not None
                for namespace in _NOVA_NAMESPACES
            ),
            qemu=root.get("type") in _QEMU_TYPES,
            huge_pages=root.find("memoryBacking/hugepages") is not None,
            shared_memory=_is_shared(root),
            pinned=_is_pinned(root),
            unmergeable=root.find("memoryBacking/nosharepages") is not None,
            memory_bytes=int(root.findtext("memory", "0")) << 10,
            source=_source(root),
            memory_came=memory_came,
        )


def _source(root: ElementTree.Element) -> Source | None:
    for namespace in _NOVA_NAMESPACES:
        for spec in root.iterfind(
            f"metadata/{{{namespace}}}instance/{{{namespace}}}flavor/"
            f"{{{namespace}}}extraSpecs/{{{namespace}}}extraSpec"
        ):
            if spec.get("name") == FINGERPRINT_SOURCE_KEY:
                return Source.of_text(spec.text)
    return None


def _is_shared(root: ElementTree.Element) -> bool:
    """Whether any of the guest's memory is a shared mapping.

    A NUMA cell's own access mode overrides that of the domain.
    """
    access = root.find("memoryBacking/access")
    mode = None if access is None else access.get("mode")
    cells = root.findall("cpu/numa/cell")
    if cells:
        return any(cell.get("memAccess", mode) == "shared" for cell in cells)
    return mode == "shared"


def _is_pinned(root: ElementTree.Element) -> bool:
    devices = (
        root.findall("devices/hostdev[@type='pci']")
        + root.findall("devices/hostdev[@type='mdev']")
        + root.findall("devices/interface[@type='hostdev']")
        + root.findall("devices/interface[@type='vdpa']")
    )
    return bool(devices) or root.find("launchSecurity") is not None
