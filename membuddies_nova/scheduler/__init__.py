# SPDX-License-Identifier: Apache-2.0
"""What runs inside nova-scheduler, and nowhere else.

The way of a weight: the controller's scoreboard is fetched by
:mod:`local_board`, a Nova request is read by :mod:`request`, :mod:`score` holds
the one against the other for each host, as :mod:`membuddies_nova.scoreboard.score`
does for everybody, and :mod:`weigher` hands the numbers to Nova. The filters,
:mod:`isolation` and :mod:`pressure`, look at the same board, and at the
:mod:`recent` requests. Only a background thread does any input or output. Whatever
goes wrong here, Nova places its guests as if this were not installed; only the
isolation filter can be told to, and by default does, refuse what it cannot judge.
"""
