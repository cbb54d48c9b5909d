# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of guest memory: ids, samples of them, sealing, bytes.

The way of the data: :mod:`page` hashes pages to ids, :mod:`sample` keeps those
that every guest would keep, :mod:`seal` makes them useless without the cloud's
key, :mod:`codec` writes and reads them. Nothing here touches a guest, a file of
one, or a network.
"""
