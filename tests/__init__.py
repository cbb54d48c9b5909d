# SPDX-License-Identifier: Apache-2.0
"""All tests. What chooses oslo.service's backend is imported before all else."""

import importlib.util

# Nova's own environment (make test-oldest) has no threading backend to choose.
if importlib.util.find_spec("cotyledon"):
    import membuddies_nova.cmd  # noqa: F401
