# SPDX-License-Identifier: Apache-2.0
"""What guests share, computed from a snapshot of the cluster.

For the planner: :mod:`snapshot` is the input, :mod:`index` turns its fingerprints into
page classes, :mod:`sharing` answers questions about them, and :mod:`occupancy` keeps
the answers current while guests are moved about in thought.

For the scoreboard, kept up to date as fingerprints change: a :mod:`partition` is the
guests of one trust scope, :mod:`holders` tells who holds an item, :mod:`consensus` what
the guests of a profile hold together and where that is, :mod:`best` the best hosts of
each guest; :mod:`profiles` has the partitions of all, and :mod:`board` writes it down.

All of it is pure: no I/O, no clock, no configuration.
"""
