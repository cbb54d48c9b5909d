# SPDX-License-Identifier: Apache-2.0
"""The scoreboard that schedulers look up: :mod:`board` is the value,
:mod:`codec` writes and reads it. Nothing here computes what guests share."""
