# SPDX-License-Identifier: Apache-2.0
"""``make demo``: Memory Buddies on a real OpenStack, told as a story.

For a newcomer, and for whoever wants to see that what we predict is what the kernel
does.  It plays on a lab of its own (:mod:`tests.cloud.lab`) and uses our services as
an operator would.  Every number that it shows is read from Nova, the kernel or our
database at that moment.

:mod:`.story` tells it, in the order of :mod:`.placing` and :mod:`.rebalancing`;
:mod:`.verdict` judges it and :mod:`.tables` shows it.
"""

from tests.cloud.lab.layout import PROJECT_ROOT

LAB = "demo"
REPORT = PROJECT_ROOT / "build" / "demo" / "report.json"
"""The verdict's facts; stays when the demo is taken down."""
