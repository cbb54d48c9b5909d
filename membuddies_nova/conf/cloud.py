# SPDX-License-Identifier: Apache-2.0
"""Options of a connection to OpenStack, which several groups have.

For the groups of the services that ask Nova: whose credentials they use and
which endpoints. Not a group of its own.
"""

from keystoneauth1 import loading
from oslo_config import cfg

_REQUEST_TIMEOUT_SECONDS = 60


def options() -> list[cfg.Opt]:
    """The options of one connection; a request always has an end."""
    keystone = [
        *loading.get_auth_common_conf_options(),
        *loading.get_session_conf_options(),
    ]
    for option in keystone:
        if option.name == "timeout":
            option.default = _REQUEST_TIMEOUT_SECONDS
    return [
        cfg.StrOpt(
            "cloud",
            help="A cloud of clouds.yaml to connect to, instead of the auth_* options.",
        ),
        cfg.StrOpt("region_name", help="The region of the endpoints in the catalog."),
        cfg.StrOpt(
            "interface",
            default="public",
            choices=["public", "internal", "admin"],
            help="Which endpoints of the catalog to use.",
        ),
        *keystone,
    ]
