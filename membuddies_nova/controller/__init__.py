# SPDX-License-Identifier: Apache-2.0
"""The controller: admits what agents send, and answers schedulers.

The way of a question: :mod:`endpoint` takes it from the bus and answers it,
:mod:`admission` decides what is believed and stores it, :mod:`board` makes the
schedulers' scoreboard. :mod:`inventory_turn` has Nova's word renewed and settles
what was held for it; :mod:`service` runs it all.
"""
