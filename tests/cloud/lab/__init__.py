# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack with three compute hosts on one small machine."""
