# SPDX-License-Identifier: Apache-2.0
"""The compute-node agent: reads guest memory and reports fingerprints."""
