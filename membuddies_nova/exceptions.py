# SPDX-License-Identifier: Apache-2.0
"""The errors of the project: one small tree with one root.

The text of an error is the one line a user sees. It says what is wrong, where,
and what is allowed or what to do.
"""


class MembuddiesError(Exception):
    """Root of all errors that the project raises on purpose."""


class InputError(MembuddiesError):
    """A call or a file of the user is wrong (exit status 2)."""


class ConfigurationError(MembuddiesError):
    """An option, a key file or a missing capability stops a service."""


class FingerprintError(MembuddiesError):
    """Bytes or values that are no valid fingerprint."""


class IncompatibleFingerprintsError(FingerprintError):
    """Two fingerprints whose seed, key or format differ were compared.

    :ivar attribute: which of the three differs
    :ivar left: its value in the first fingerprint
    :ivar right: its value in the second
    """

    def __init__(self, attribute: str, left: object, right: object) -> None:
        super().__init__(
            f"fingerprints differ in {attribute}: {left} and {right}; only "
            f"fingerprints of one {attribute} can be compared"
        )
        self.attribute = attribute
        self.left = left
        self.right = right


class MessageError(MembuddiesError):
    """A message from the bus is not what its version promises.

    :ivar field: the first field that is wrong
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"message field {field!r}: {problem}")
        self.field = field
        self.problem = problem
