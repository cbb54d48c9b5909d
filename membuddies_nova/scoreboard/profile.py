# SPDX-License-Identifier: Apache-2.0
"""Names of profiles: by what a guest without memory is compared with others."""

from membuddies_nova.cluster import Guest

_IMAGE = "image:"


def profile_chain(guest: Guest) -> tuple[str, ...]:
    """The profiles that could stand for a guest, the most telling first.

    Its image, the image that this is a snapshot of, the release of its distribution
    with its flavor, the release alone, its project. A guest whose release is known
    is not compared with guests of others: two releases of a distribution share less
    than a hundredth of their pages, so its project's guests would mislead.
    """
    chain = _images(guest) + _releases(guest)
    if not _releases(guest):
        chain += _coarse(guest)
    return _lines(chain)


def taught_profiles(guest: Guest) -> tuple[str, ...]:
    """The profiles of which a guest's pages tell."""
    return _lines(_images(guest) + _releases(guest) + _coarse(guest))


def _images(guest: Guest) -> list[str]:
    names = [guest.image] if guest.image else []
    if guest.base_image and guest.base_image != guest.image:
        names.append(guest.base_image)
    return [f"{_IMAGE}{name}" for name in names]


def _releases(guest: Guest) -> list[str]:
    if not (guest.os_distro and guest.os_version):
        return []
    release = f"os:{guest.os_distro} {guest.os_version}"
    return [f"{release}/{guest.flavor}", release] if guest.flavor else [release]


def _coarse(guest: Guest) -> list[str]:
    project = f"project:{guest.project or ''}"
    if not (guest.os_distro and guest.flavor):
        return [project]
    return [f"os:{guest.os_distro}/{guest.flavor}", project]


def _lines(names: list[str]) -> tuple[str, ...]:
    """Image properties and flavor names are free text; the board's is by lines."""
    return tuple(name.replace("\n", " ") for name in names)


def is_of_image(profile: str) -> bool:
    """Whether a profile is of the guests of one image."""
    return profile.startswith(_IMAGE)
