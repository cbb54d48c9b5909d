# SPDX-License-Identifier: Apache-2.0
"""nova-scheduler with our weigher: where Nova places guests, whatever is away."""
