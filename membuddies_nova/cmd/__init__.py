# SPDX-License-Identifier: Apache-2.0
"""Entry points of the services. They only wire.

Importing this package chooses oslo.service's threading backend. It must come
before any import of ``oslo_service.service``, and oslo.messaging makes one.
"""

import sys

try:
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
except (ImportError, ValueError):
    # Every installation has the programs, not every one what they need.
    sys.exit(
        "this installation holds no services: on a compute node install "
        "membuddies-nova[agent], on a controller membuddies-nova[controller]"
    )
