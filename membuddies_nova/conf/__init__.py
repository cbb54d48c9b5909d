# SPDX-License-Identifier: Apache-2.0
"""The options of every part, one module a group.

``list_opts`` is what oslo.config's generator and the documentation read, so the
sample file is made from the options and never written by hand.
"""

import importlib

from oslo_config import cfg

_MODULES = ("agent", "bus", "controller", "inventory", "rebalancer", "scheduler")


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Every option with its group, for ``oslo.config.opts``."""
    groups: dict[str, list[cfg.Opt]] = {}
    for name in _MODULES:
        module = importlib.import_module(f"{__name__}.{name}")
        groups.setdefault(module.GROUP, []).extend(module.OPTIONS)
    return list(groups.items())
