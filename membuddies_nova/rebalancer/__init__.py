# SPDX-License-Identifier: Apache-2.0
"""The rebalancer: makes plans, and turns approved ones into live migrations.

For operators who let the project move guests. It is the only part that changes
anything in Nova, and it only ever asks for live migrations that Nova's
scheduler checks.
"""
