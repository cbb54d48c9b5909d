# SPDX-License-Identifier: Apache-2.0
"""What is read at best: why it could not be, told once and not at every reading."""

import logging

from membuddies_nova.inventory.cloud import InventoryError


class Shortcoming:
    """One thing that a reading may have to do without.

    :param log: where it is told
    """

    def __init__(self, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self._log = log
        self._told: str | None = None

    def tell(self, message: str, *values: object, error: InventoryError) -> None:
        """Warn, unless the last one told had the same reason.

        :param message: for ``values`` and then the error
        """
        if str(error) != self._told:
            self._log.warning(message, *values, error)
        self._told = str(error)

    def end(self) -> None:
        """It was read; if it cannot be again, that is news."""
        self._told = None
