# SPDX-License-Identifier: Apache-2.0
"""What guests share, computed from a snapshot of the cluster.

:mod:`snapshot` is the input, :mod:`index` turns its fingerprints into page
classes, :mod:`sharing` answers questions about them, and :mod:`occupancy`
keeps the answers current while guests are moved about in thought. All of it is
pure: no I/O, no clock, no configuration.
"""
