"""A server's rows, and what its requests make of them, as the real one was seen to behave; no HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Row
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.plan import Step

ENUMS = {"protocol": ("tcp", "udp", "http", "https"), "auth_type": ("none", "base64", "jwt")}
NOT_NULL = ("tls_enabled", "tls_verify", "health_check_enabled", "health_check_interval", "is_active")
SECRETS = {"jwt": "jwt_secret", "base64": "token_base64"}


def is_poisoned(row: Mapping[str, Any]) -> bool:
    """Return whether every answer with a row is an error."""
    return any(row[key] not in values for key, values in ENUMS.items()) or any(row[key] is None for key in NOT_NULL)


class Stored:
    """Rows by id, names unique among all of them; secrets are counted so that a new one shows."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.rows = {number: {**row, "id": number} for number, row in enumerate(rows, 1)}
        self.secrets = 0

    def listed(self) -> list[Row]:
        """Return every row with all that is stored of it."""
        return [Row.of(row) for row in self.rows.values()]

    def listed_around_poison(self, cluster_id: int) -> list[Row]:
        """Return what is seen over HTTP: a row that no list can show is in its configuration, where it is active."""
        shown = [Row.of(row) for row in self.rows.values() if not is_poisoned(row)]
        hidden = [row for row in self.rows.values() if is_poisoned(row) and row["is_active"]]
        return shown + [
            Row.of_config(_configured(row), cluster_id) for row in hidden if row["cluster_id"] == cluster_id
        ]

    def carry_out(self, step: Step) -> None:
        """Do what a step requests, and fail where the server would, or where its answers would break from then on."""
        if step.action == "create":
            self._create(dict(step.after))
        elif step.action in ("update", "revive"):
            row = self.rows[step.id]
            assert all(key in row for key in step.after), "silently ignored"
            row.update(step.after)
        elif step.action == "rotate-token":
            self.rows[step.id]["auth_type"] = step.after["auth_type"]
            self._make_secret(self.rows[step.id])
        elif step.action == "delete":
            self.rows[step.id]["is_active"] = False
        if step.action in ("create", "update", "revive"):
            changed = self.rows[len(self.rows) if step.id is None else step.id]
            assert not [key for key, values in ENUMS.items() if key in step.after and changed[key] not in values]
            assert not [key for key in NOT_NULL if key in step.after and changed[key] is None]

    def _create(self, body: dict[str, Any]) -> None:
        assert body["name"] not in [row["name"] for row in self.rows.values()], "400: already exists"
        row = {"tls_verify": True, **body, "is_active": True, "jwt_secret": None, "token_base64": None}
        self.rows[len(self.rows) + 1] = {**row, "id": len(self.rows) + 1}
        self._make_secret(self.rows[len(self.rows)])

    def _make_secret(self, row: dict[str, Any]) -> None:
        if row["auth_type"] in SECRETS:
            self.secrets += 1
            row[SECRETS[row["auth_type"]]] = f"secret {self.secrets}"

    def copy(self) -> Stored:
        """Return another with the same rows."""
        return deepcopy(self)


def _configured(row: Mapping[str, Any]) -> dict[str, Any]:
    kind, health = row["auth_type"], row["health_check_enabled"]
    return {
        **{key: row[key] for key in ("id", "name", "ip_fqdn", "port", "protocol", "collection")},
        "auth": {
            "type": kind,
            "token_base64": row["token_base64"] if kind == "base64" else None,
            "jwt": {"secret": row["jwt_secret"], "expiry": 3600, "algorithm": "HS256"} if kind == "jwt" else None,
        },
        "tls": {"enabled": row["tls_enabled"], "verify": row["tls_verify"]},
        "health_check": {"enabled": health, "path": row["health_check_path"], "interval": row["health_check_interval"]}
        if health
        else None,
        "metadata": None,
    }
