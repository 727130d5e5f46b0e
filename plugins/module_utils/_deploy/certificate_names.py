# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The names in the certificate of a service, in the words of community.crypto."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any


def certificate_names(service: Mapping[str, Any]) -> list[str]:
    """Return the subject alternative names of a service, each once."""
    found = [f"DNS:{service['service']}"]
    for name in service.get("names") or ():
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            found.append(f"DNS:{name.lower()}")
        else:
            found += [] if address.is_unspecified else [f"IP:{address.compressed}"]
    return list(dict.fromkeys(found))
