# SPDX-License-Identifier: Apache-2.0
"""The migrations, one file for each release's change of the tables."""
