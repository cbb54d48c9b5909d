# SPDX-License-Identifier: Apache-2.0
"""Everything is declared in setup.cfg, but the packages of two roots."""

import setuptools

setuptools.setup(
    packages=[
        *setuptools.find_packages(include=["membuddies_nova*"]),
        "membuddies_agent",
    ]
)
