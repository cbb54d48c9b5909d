# SPDX-License-Identifier: Apache-2.0
"""All tests. What chooses oslo.service's backend is imported before all else."""

import membuddies_nova.cmd  # noqa: F401
