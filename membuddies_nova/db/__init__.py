# SPDX-License-Identifier: Apache-2.0
"""The database: what is kept between processes, and the functions that ask.

For the controller, the rebalancer, the inventory reader and the command line.
:class:`membuddies_nova.db.api.Database` gives a session for one transaction;
each other module holds the functions of one subject, which take that session
first, get the time as an argument, and return plain values, never rows. None
of them logs, reads a clock or commits.
"""
