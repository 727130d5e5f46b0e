# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether who may call the data plane over gRPC gets what it is known by: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

CLIENTS = "go_backend_policy_clients"
SERVICES = "pki_services"


def refusals(clients: Sequence[str], services: Sequence[str]) -> Iterator[str]:
    """Yield why each client could not call.

    Args:
        clients: Names of the services of CLIENTS, in its order.
        services: Names of the services of SERVICES, which get a certificate.
    """
    for place, name in enumerate(clients):
        if name not in services:
            yield (
                f"{CLIENTS}[{place}] ({name}): calls are taken only from who has a certificate, and it gets none, as "
                f"{SERVICES} has {', '.join(services) or 'nobody'}: add it there, with its uid, or take it out here"
            )
