# SPDX-License-Identifier: Apache-2.0
"""The inventory: hosts and guests as Nova, Placement and Glance know them."""
