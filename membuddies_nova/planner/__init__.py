# SPDX-License-Identifier: Apache-2.0
"""The planner: a snapshot in, a plan out.

Pure: no I/O, no clock, no configuration. What "now", a limit or a threshold is
comes as an argument, and the same arguments give the same plan.

:mod:`planning` chooses the search; :mod:`placement`, :mod:`share`,
:mod:`consolidate` and :mod:`relieve` are the union strategy's; :mod:`original` is
the published rule; :mod:`draft` admits moves that pass the :mod:`rules`;
:mod:`cost` says what a move has to save; :mod:`explanation` tells an operator why
a guest stays.
"""

from membuddies_nova.planner.explanation import Explanation, explain
from membuddies_nova.planner.judgement import Judgement, judge
from membuddies_nova.planner.limits import Limits
from membuddies_nova.planner.planning import plan, rescoped

__all__ = [
    "Explanation",
    "Judgement",
    "Limits",
    "explain",
    "judge",
    "plan",
    "rescoped",
]
