# SPDX-License-Identifier: Apache-2.0
import pytest

from membuddies_agent.domain import Domain, DomainState
from membuddies_nova.facts import Source

UUID = "0a1b2c3d-0000-4000-8000-000000000001"
NOVA = """<metadata><nova:instance
    xmlns:nova="http://openstack.org/xmlns/libvirt/nova/{version}">
    <nova:name>web</nova:name></nova:instance></metadata>"""


def domain(inner: str = "", kind: str = "kvm") -> Domain:
    xml = (
        f'<domain type="{kind}"><name>instance-1</name><uuid>{UUID}</uuid>'
        f"{inner}</domain>"
    )
    return Domain.from_xml(xml, DomainState.RUNNING)


def obstacles(found: Domain) -> list[str]:
    """The fields that keep its memory from merging."""
    fields = ("huge_pages", "shared_memory", "unmergeable", "pinned")
    return [name for name in fields if getattr(found, name)]


def test_a_plain_domain_is_qemu_and_not_novas():
    plain = domain()
    assert (plain.uuid, plain.name) == (UUID, "instance-1")
    assert plain.qemu
    assert not plain.nova
    assert obstacles(plain) == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_novas_metadata_is_known_in_both_versions(version):
    assert domain(NOVA.format(version=version)).nova


def test_metadata_of_others_is_not_novas():
    assert not domain('<metadata><x:y xmlns:x="http://example.org"/></metadata>').nova


@pytest.mark.parametrize("kind", ["lxc", "xen", "bhyve"])
def test_other_hypervisors_are_not_qemu(kind):
    assert not domain(kind=kind).qemu


@pytest.mark.parametrize(
    ("inner", "field"),
    [
        ("<memoryBacking><hugepages/></memoryBacking>", "huge_pages"),
        (
            '<memoryBacking><hugepages><page size="2048" unit="KiB"/></hugepages>'
            "</memoryBacking>",
            "huge_pages",
        ),
        (
            '<memoryBacking><source type="memfd"/><access mode="shared"/>'
            "</memoryBacking>",
            "shared_memory",
        ),
        (
            '<cpu><numa><cell id="0" memAccess="shared"/><cell id="1"/></numa></cpu>',
            "shared_memory",
        ),
        ("<memoryBacking><nosharepages/></memoryBacking>", "unmergeable"),
        ('<devices><hostdev mode="subsystem" type="pci"/></devices>', "pinned"),
        ('<devices><hostdev mode="subsystem" type="mdev"/></devices>', "pinned"),
        ('<devices><interface type="hostdev"/></devices>', "pinned"),
        ('<devices><interface type="vdpa"/></devices>', "pinned"),
        ('<launchSecurity type="sev"/>', "pinned"),
    ],
)
def test_what_keeps_memory_from_merging_is_seen(inner, field):
    assert obstacles(domain(inner)) == [field]


@pytest.mark.parametrize(
    "inner",
    [
        "<memoryBacking><locked/></memoryBacking>",
        '<memoryBacking><access mode="private"/></memoryBacking>',
        '<memoryBacking><access mode="shared"/></memoryBacking>'
        '<cpu><numa><cell id="0" memAccess="private"/></numa></cpu>',
        '<devices><hostdev mode="subsystem" type="usb"/></devices>',
        '<devices><interface type="bridge"/></devices>',
    ],
)
def test_what_does_not_keep_memory_from_merging_is_let_pass(inner):
    assert obstacles(domain(inner)) == []


@pytest.mark.parametrize(
    "xml",
    ["", "<domain", "<network><name>a</name><uuid>b</uuid></network>", "<domain/>"],
)
def test_anything_else_is_refused(xml):
    with pytest.raises(ValueError, match="domain XML"):
        Domain.from_xml(xml, DomainState.RUNNING)


def flavor(*specs: str) -> str:
    """Nova's metadata with a flavor's extra specs, as its libvirt driver writes it."""
    namespace = "http://openstack.org/xmlns/libvirt/nova/1.1"
    text = "".join(
        f'<nova:extraSpec name="{name}">{value}</nova:extraSpec>'
        for name, _, value in (spec.partition("=") for spec in specs)
    )
    return (
        f'<metadata><nova:instance xmlns:nova="{namespace}"><nova:flavor name="m1">'
        f"<nova:extraSpecs>{text}</nova:extraSpecs></nova:flavor></nova:instance>"
        f"</metadata>"
    )


@pytest.mark.parametrize(
    ("specs", "source"),
    [
        ([], None),
        (["membuddies:fingerprint_source=guest"], Source.GUEST),
        (["hw:cpu_policy=shared", "membuddies:fingerprint_source=auto"], Source.AUTO),
        (["membuddies:fingerprint_source=host"], Source.HOST),
        # What says nothing known counts as nothing.
        (["membuddies:fingerprint_source=hosts"], None),
        (["membuddies:fingerprint_source="], None),
    ],
)
def test_the_flavor_says_who_reads_its_guests_memory(specs, source):
    assert domain(flavor(*specs)).source is source
    assert domain(flavor(*specs)).nova


def test_novas_own_metadata_is_read():
    from nova.virt.libvirt import config

    meta = config.LibvirtConfigGuestMetaNovaInstance()
    meta.package = "33.0.0"
    meta.flavor = config.LibvirtConfigGuestMetaNovaFlavor()
    meta.flavor.name, meta.flavor.id = "m1", "1"
    meta.flavor.extra_specs = {"membuddies:fingerprint_source": "guest"}
    assert domain(f"<metadata>{meta.to_xml()}</metadata>").source is Source.GUEST


def test_the_memory_is_told_in_bytes():
    assert domain('<memory unit="KiB">2048</memory>').memory_bytes == 2 << 20
