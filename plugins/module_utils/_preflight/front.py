# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether the TLS front can be made as requested; its role comes last, when all else is changed: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._deploy.nginx_module import OPTIONS, faults

SWITCH = "tripod_https"
# The variable that each option of the module is made of.
VARIABLES = {
    "addresses": "tripod_https_addresses",
    "port": "tripod_https_port",
    "api_port": "tripod_https_api_port",
    "redirect_port": "nginx_redirect_port",
    "certificate": "nginx_certificate",
    "key": "nginx_certificate_key",
    "trusted_proxies": "nginx_trusted_proxies",
    "hsts": "nginx_hsts_seconds",
    "connection_life": "nginx_connection_seconds",
    "at_once": "nginx_client_limit",
}
NAMES = "tripod_https_names"


def refusals(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield why it cannot be made.

    Args:
        given: The values of VARIABLES and of NAMES, by variable.
    """
    options = {option: given[variable] for option, variable in VARIABLES.items()}
    for option, value in options.items():
        if OPTIONS[option]["type"] == "int":
            options[option] = int(value)
    yield from faults(options, VARIABLES).reasons
    if bool(options["certificate"]) != bool(options["key"]):
        there, absent = ("certificate", "key") if options["certificate"] else ("key", "certificate")
        yield f"{VARIABLES[there]} is given without {VARIABLES[absent]}: give both, or neither"
    if not given[NAMES]:
        yield f"{NAMES} is empty, and the end of a run could not say where to go: name what the host is reached by"
