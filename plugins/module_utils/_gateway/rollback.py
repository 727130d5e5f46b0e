# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a gateway's server held of one collection before an import: a file to go back to, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.json_schema import faults
from .model import PRESENT, SERVICE_KEYS, Row, Service, Settings
from .plan import is_ours, repairs
from .render import to_json
from .schema import ROLLBACK_FILE, ROLLBACK_FORMAT


@dataclass(frozen=True)
class Rollback:
    """Attributes:
    server: Address of the API.
    cluster_id: None where the server has no clusters.
    collection: The application's name.
    services: What it held, those deleted softly with is_active False.
    """

    server: str
    cluster_id: int | None
    collection: str
    services: tuple[Service, ...]

    def settings(self, settings: Settings, server: str) -> Settings:
        """Return how to go back: what the file does not hold goes, and what it holds is as it was.

        Args:
            settings: As requested.
            server: Address of the API that is asked.

        Raises:
            Invalid: The settings are for another cluster or collection than the file, or it is of another server.
        """
        wrong = Findings()
        if self.server != server:
            wrong.add(
                f"rollback file is of server {self.server}, and {server} was requested: give the file of that; if that "
                "is the same one by another name, write that name into the file"
            )
        for what in ("cluster_id", "collection"):
            mine, given = getattr(self, what), getattr(settings, what)
            if mine != given:
                wrong.add(f"rollback file is of {what} {mine}, and {given} was requested: give the file of that")
        wrong.raise_if_any(Invalid, "MarchProxy restore")
        return replace(settings, state=PRESENT, prune=True)


def export(rows: Iterable[Row], settings: Settings, server: str) -> str:
    """Return the text of a rollback file: our own rows by name, an illegal value replaced as a repair would.

    Args:
        rows: All that the server lists, each with all fields.
        settings: Of the import that comes next.
        server: Address of the API.
    """
    ours = sorted((row for row in rows if is_ours(row, settings)), key=lambda row: row.name)
    document = {
        "format": ROLLBACK_FORMAT,
        "server": server,
        "cluster_id": settings.cluster_id,
        "collection": settings.collection,
        "services": [_exported(row, settings) for row in ours],
    }
    return to_json(document) + "\n"


def restored(text: str) -> Rollback:
    """Return what a rollback file holds.

    Raises:
        Invalid: It is none; with every reason.
    """
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise Invalid(f"rollback file: is not JSON: {error}") from error
    Findings(list(faults(document, ROLLBACK_FILE))).raise_if_any(Invalid, "rollback file")
    services = tuple(Service.of(one) for one in document["services"])
    return Rollback(document["server"], document["cluster_id"], document["collection"], services)


def _exported(row: Row, settings: Settings) -> Mapping[str, Any]:
    legal = {**row.fields, "is_active": row.active, **repairs(row, settings)}
    return {key: legal[key] for key in (*SERVICE_KEYS, "tls_verify", "is_active") if key in legal}
