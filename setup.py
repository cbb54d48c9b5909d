# SPDX-License-Identifier: Apache-2.0
"""Everything is declared in setup.cfg, but the packages of two roots and the
extension: setup.cfg knows neither.

The extension is optional. Where there is no compiler it is left out, and scans
take the pure Python path.
"""

import setuptools

setuptools.setup(
    packages=[
        *setuptools.find_packages(include=["membuddies_nova*"]),
        "membuddies_agent",
    ],
    ext_modules=[
        setuptools.Extension(
            "membuddies_agent._scan",
            ["agent/membuddies_agent/_scan.c"],
            include_dirs=["guest_kmod"],
            depends=["agent/membuddies_agent/page_hash.h", "guest_kmod/xxh3_4096.h"],
            # The hash in plain C is twice as fast with it.
            extra_compile_args=["-O3"],
            optional=True,
        )
    ],
)
