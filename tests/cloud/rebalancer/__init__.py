# SPDX-License-Identifier: Apache-2.0
"""The rebalancer on a real Nova, with live migrations of real guests."""
