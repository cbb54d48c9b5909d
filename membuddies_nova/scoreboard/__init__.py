# SPDX-License-Identifier: Apache-2.0
"""The scoreboard that schedulers look up: :mod:`board` is the value, :mod:`line`
what it says of one host or guest, :mod:`columns` what it is made of, :mod:`profile`
names what guests are compared by, :mod:`codec` writes and reads it. Nothing here
computes what guests share."""
