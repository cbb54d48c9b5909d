# SPDX-License-Identifier: Apache-2.0
"""What the scoreboard says of one host, one guest or one image."""

import dataclasses

from membuddies_nova.cluster import KsmState

KSM_STATES = (KsmState.UNKNOWN, KsmState.OFF, KsmState.MANAGED, KsmState.MERGING)
"""As the board numbers them."""


@dataclasses.dataclass(frozen=True, slots=True)
class HostLine:
    """What the board says of a host, by the newest report of its agent.

    A fact that is not known, or whose report is too old, is None.

    :ivar available_mb: MemAvailable, rounded down
    :ivar sharing_mb: KSM's pages_sharing, rounded up
    :ivar pressure: PSI memory "some" avg60 as a fraction, to the percent
    :ivar swap_in_pages_per_second: in whole pages
    :ivar trust_group: if set, only guests of this group may arrive
    """

    ksm: KsmState
    available_mb: int | None
    sharing_mb: int | None = None
    pressure: float | None = None
    swap_in_pages_per_second: int | None = None
    trust_group: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class GuestLine:
    """What the board says of a guest.

    :ivar host: where Nova placed it, None if nowhere
    :ivar key: its trust scope's key
    :ivar row: row of the profile that stands for it, None if there is none
    :ivar pending: booked lately, without a fingerprint: its memory is neither
        in its host's entries nor gone from its host's available memory
    :ivar index: where it stands among the guests
    :ivar profile: the most telling one, whether there is a row of it or not
    :ivar project: None if the board does not say
    :ivar trust_group: of its flavor
    """

    host: str | None
    key: str
    row: int | None
    memory_mb: int
    pending: bool
    index: int
    profile: str | None = None
    project: str | None = None
    trust_group: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ImageLine:
    """What the board says of an image, which Nova's requests leave out."""

    os_distro: str | None
    os_version: str | None
    base_image: str | None
