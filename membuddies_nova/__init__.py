# SPDX-License-Identifier: Apache-2.0
"""Memory Buddies for OpenStack Nova: place guests where their pages merge."""
