# SPDX-License-Identifier: Apache-2.0
"""``membuddies-status upgrade check``: whether this release can start here.

Run after an upgrade, before the services start again. Only reads. The exit status
is oslo.upgradecheck's: 0 for success, 1 for a warning, 2 for a failure.
"""

import collections
import functools
import itertools
import sys
import time
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
from sqlalchemy.orm import Session

from membuddies_nova import exceptions
from membuddies_nova.cli.app import WRONG_CALL
from membuddies_nova.db import fingerprints, inventory, schema
from membuddies_nova.db.api import Database
from membuddies_nova.db.inventory import REPORT_AGE_LIMIT_SECONDS
from membuddies_nova.fingerprint import codec

_BODIES_AT_ONCE = 100
_SUCCESS = upgradecheck.Result(upgradecheck.Code.SUCCESS)


def _answered(
    check: Callable[["Checks"], upgradecheck.Result],
) -> Callable[["Checks"], upgradecheck.Result]:
    """A check that fails with a sentence where it would raise an error."""

    @functools.wraps(check)
    def answered(self: "Checks") -> upgradecheck.Result:
        try:
            return check(self)
        except exceptions.MembuddiesError as error:
            return upgradecheck.Result(upgradecheck.Code.FAILURE, str(error))

    return answered


class Checks(upgradecheck.UpgradeCommands):
    """The checks of the database that a configuration names.

    :param conf: read before the first check runs
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__()
        self._conf = conf

    @functools.cached_property
    def _database(self) -> Database:
        return Database(self._conf)

    @_answered
    def _tables(self) -> upgradecheck.Result:
        """The tables are those of this release."""
        version, head = schema.version(self._database), schema.head()
        if version == head:
            return _SUCCESS
        return upgradecheck.Result(
            upgradecheck.Code.FAILURE,
            f"the tables are at revision {version}, this release expects {head}: "
            f"run `membuddies-manage db upgrade`",
        )

    @_answered
    def _inventory(self) -> upgradecheck.Result:
        """The cloud was read lately."""
        with self._database.reader() as session:
            state = inventory.state(session)
        if state.read_at is None:
            text = "the inventory was never read: does membuddies-controller run?"
        elif (age := time.time() - state.read_at) > REPORT_AGE_LIMIT_SECONDS:
            text = f"the inventory is {age:.0f} s old"
        else:
            return _SUCCESS
        if state.error:
            text += f" ({state.error})"
        return upgradecheck.Result(upgradecheck.Code.WARNING, text)

    @_answered
    def _keys(self) -> upgradecheck.Result:
        """All fingerprints are sealed under one key and made with one seed."""
        with self._database.reader() as session:
            kinds, unreadable = _kinds(session)
        if unreadable:
            return upgradecheck.Result(
                upgradecheck.Code.WARNING,
                f"{unreadable} stored fingerprints cannot be read by this release; "
                f"they are used again when their agents have sent them anew",
            )
        if len(kinds) > 1:
            named = ", ".join(
                f"{count} under key {key} with seed {seed}"
                for (key, seed), count in kinds.most_common()
            )
            return upgradecheck.Result(
                upgradecheck.Code.WARNING,
                f"the fingerprints do not compare: {named}. Plans say `stay` until "
                f"all agents have one key file and one seed",
            )
        return _SUCCESS

    _upgrade_checks = (
        ("Tables", _tables),
        ("Inventory", _inventory),
        ("Fingerprint keys", _keys),
    )


def _kinds(session: Session) -> tuple[collections.Counter[tuple[str, int]], int]:
    """How many fingerprints there are of each key id and seed, and unreadable."""
    kinds: collections.Counter[tuple[str, int]] = collections.Counter()
    unreadable = 0
    guests = iter([summary.guest for summary in fingerprints.summaries(session)])
    while some := list(itertools.islice(guests, _BODIES_AT_ONCE)):
        for body in fingerprints.bodies(session, some).values():
            try:
                sample = codec.decode(body)
            except exceptions.FingerprintError:
                unreadable += 1
            else:
                kinds[sample.key_id.hex(), sample.seed] += 1
    return kinds, unreadable


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of ``membuddies-status``."""
    conf = cfg.ConfigOpts()
    try:
        return int(
            upgradecheck.main(
                conf,
                project="membuddies",
                upgrade_command=Checks(conf),
                argv=list(sys.argv[1:] if argv is None else argv),
            )
        )
    except cfg.Error as error:
        text = " ".join(str(error).split())
        sys.stderr.write(f"membuddies-status: {text}\n")
        return WRONG_CALL
