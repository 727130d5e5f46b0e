# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether something that speaks plain HTTP is to be reached from elsewhere: a pure function."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

METRICS = "tripod_go_http_address"
# Where the role nginx leads to all but the metrics from.
FRONT = "tripod_https_addresses"
# What speaks plain HTTP, by the variable that says where.
PLAIN = {
    "tripod_flask_publish_address": "the REST API, with passwords and tokens,",
    "tripod_webui_publish_address": "the web interface, with passwords and tokens,",
    METRICS: "the metrics of the data plane",
}
CONSENT = "tripod_publish_plain"


def refusals(addresses: Mapping[str, str], consent: bool) -> Iterator[str]:
    """Yield why each address is not to be published on.

    Args:
        addresses: By the variable that holds it; of PLAIN.
        consent: Whether the operator said that plain HTTP may be reached from elsewhere.
    """
    if consent:
        return
    for variable, address in addresses.items():
        if not _is_loopback(address):
            front = "" if variable == METRICS else f", which {FRONT} publishes"
            yield (
                f"{variable} is {address}, where {PLAIN[variable]} could be read on the way, as it speaks plain "
                f"HTTP: keep it on 127.0.0.1 with a TLS front before it{front}, or set {CONSENT}=true"
            )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
