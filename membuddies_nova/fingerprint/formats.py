# SPDX-License-Identifier: Apache-2.0
"""What every format of a fingerprint can do, whoever made it.

``sample``
    :class:`~membuddies_nova.fingerprint.sample.Sample`: one of 2^shift pages, the
    only one that travels and is stored. Its size follows from the memory, its error
    from the shift.
``list``
    The same with shift 0: every page, exact, eight bytes a page before coding.
``bloom``
    :class:`~membuddies_nova.fingerprint.bloom.BloomFilter`: the paper's filter, whose
    size follows from the error that is asked for.

:mod:`~membuddies_nova.fingerprint.codec` writes all three to bytes and reads them.
"""

from typing import Protocol, Self

from membuddies_nova.fingerprint.sample import Counters, Estimate, Format


class Fingerprint(Protocol):
    """A guest's pages, or those of several guests together.

    Only fingerprints of one format, seed and key compare; else every method that
    takes another one raises
    :class:`~membuddies_nova.exceptions.IncompatibleFingerprintsError`.
    """

    @property
    def format(self) -> Format: ...

    @property
    def counters(self) -> Counters: ...

    @property
    def seed(self) -> int: ...

    @property
    def key_id(self) -> bytes: ...

    @property
    def is_sealed(self) -> bool: ...

    @property
    def unique_pages(self) -> int:
        """Distinct pages without the zero page: exact, of a union estimated."""

    def union(self, other: Self) -> Self:
        """The fingerprint of what either holds."""

    def shared_pages(self, other: Self) -> Estimate:
        """How many pages both hold."""
