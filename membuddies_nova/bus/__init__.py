# SPDX-License-Identifier: Apache-2.0
"""The bus: oslo.messaging RPC between agents, schedulers and controllers.

Agents ask with :mod:`client` what the controllers want to have and then send
that; :mod:`server` answers; :mod:`messages` says what travels. Every question
has an end: it is answered, or fails within its time-out, and the broker forgets
it after the same time.
"""
