# SPDX-License-Identifier: Apache-2.0
"""Names of profiles: by what a guest without memory is compared with others."""

from membuddies_nova.cluster import Guest

_IMAGE = "image:"


def profile_chain(guest: Guest) -> tuple[str, ...]:
    """The profiles that could stand for a guest, the most telling first.

    Its image, the image that this is a snapshot of, its distribution's release and
    its flavor, its distribution and its flavor, its project.
    """
    chain = []
    if guest.image:
        chain.append(f"{_IMAGE}{guest.image}")
    if guest.base_image and guest.base_image != guest.image:
        chain.append(f"{_IMAGE}{guest.base_image}")
    if guest.os_distro and guest.flavor:
        if guest.os_version:
            chain.append(f"os:{guest.os_distro} {guest.os_version}/{guest.flavor}")
        chain.append(f"os:{guest.os_distro}/{guest.flavor}")
    chain.append(f"project:{guest.project or ''}")
    # Image properties and flavor names are free text; the board's is by lines.
    return tuple(name.replace("\n", " ") for name in chain)


def is_of_image(profile: str) -> bool:
    """Whether a profile is of the guests of one image."""
    return profile.startswith(_IMAGE)
