# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration; build with ``make docs``."""

project = "membuddies-nova"
copyright = "the Memory Buddies for Nova contributors"
extensions = ["oslo_config.sphinxext", "oslo_config.sphinxconfiggen", "cliff.sphinxext"]
config_generator_config_file = [
    ("../../etc/membuddies/config-generator.conf", "_static/membuddies")
]
html_theme = "alabaster"
html_static_path = ["_static"]
