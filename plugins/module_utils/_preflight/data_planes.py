# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether an API can serve the data planes of other hosts: a pure function."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._deploy.data_planes import OPTION, certificate_name, reached_at

LISTEN = "go_backend_grpc_address"
APIS = "go_backend_apis"
# Of one API, its own host included; files/services/flask-backend/tripod_api/metrics.py has the same.
MOST = 32
NAME = r"[A-Za-z0-9._-]{1,64}"


def refusals(
    own: str, requested: Sequence[Mapping[str, Any]], hosts: Mapping[str, Mapping[str, Any] | None]
) -> Iterator[str]:
    """Yield why each host could not be served.

    Args:
        own: The API's host.
        requested: OPTION of that host.
        hosts: Variables of those that it names, worked out; None of one that the inventory does not have.
    """
    names = [str(one["name"]) for one in requested]
    known = [certificate_name(name) for name in [own, *names]]
    if len(known) > MOST:
        yield f"{OPTION}: with {own} itself there are {len(known)} hosts, and {MOST} are the limit of one API"
    if requested and not re.fullmatch(NAME, own):
        yield f"{OPTION}: {own} cannot be named in a query: give this host a name of letters, digits and . _ -"
    for place, (one, name) in enumerate(zip(requested, names)):
        where = f"{OPTION}[{place}] ({name})"
        host = hosts.get(name)
        if host is None:
            yield f"{where}: the inventory has no such host"
            continue
        if not re.fullmatch(NAME, name):
            yield f"{where}: it cannot be named in a query: give it a name of up to 64 letters, digits and . _ -"
        if known.index(certificate_name(name)) <= place:
            first = [own, *names][known.index(certificate_name(name))]
            yield f"{where}: {first} goes by that name already; an API serves its own host without being requested"
        address = reached_at(one, host)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield (
                f"{where}: {address} is no IP address, which the packet filter of {own} needs: give address, at which "
                f"{own} reaches it"
            )
        if not host.get(LISTEN):
            yield (
                f"{where}: its data plane listens where its own containers alone reach it: set {LISTEN} of {name} to "
                "0.0.0.0, and let nobody but this API's host through to its port"
            )


def unreachable(apis: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield why each API of another host could not be called.

    Args:
        apis: APIS of a host.
    """
    seen = []
    for place, one in enumerate(apis):
        where = f"{APIS}[{place}]"
        try:
            address = ipaddress.ip_address(str(one["address"]))
        except ValueError:
            yield f"{where}: {one['address']} is no IP address, which the packet filter needs"
            continue
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            yield f"{where}: {address} is no other host's; go_backend_own_api is about this one's"
        if not 1 <= int(one["port"]) <= 65535:
            yield f"{where}: port {one['port']} is outside 1 to 65535"
        if (address, int(one["port"])) in seen:
            yield f"{where}: {address} port {one['port']} is there already"
        seen.append((address, int(one["port"])))
