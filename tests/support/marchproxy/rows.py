"""What the real server stores, and what it accepts; numbers in brackets are sections of the research it repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PROTOCOLS = ("tcp", "udp", "http", "https")
AUTH_TYPES = ("none", "base64", "jwt")
INTEGER = 2**31  # of the database's column
TRUE, FALSE = ("1", "true", "yes", "on", "t", "y"), ("0", "false", "no", "off", "f", "n")
# Lengths of the database's columns: more is an error there, and nothing is stored.
COLUMNS = {
    "name": 100,
    "ip_fqdn": 255,
    "protocol": 10,
    "collection": 100,
    "auth_type": 20,
    "health_check_path": 255,
    "jwt_algorithm": 10,
}
NOT_NULL = ("name", "ip_fqdn", "port", "cluster_id")


class Wrong(Exception):
    """A value that the API refuses."""


@dataclass
class Text:
    """A string, of a length or out of some."""

    low: int = 0
    high: float = math.inf
    choices: tuple[str, ...] = ()
    null: bool = False

    def __call__(self, value: Any) -> Any:
        if value is None and self.null:
            return None
        if not isinstance(value, str):
            raise Wrong("Input should be a valid string")
        if not self.low <= len(value) <= self.high:
            raise Wrong(f"String should have {self.low} to {self.high} characters")
        if self.choices and value not in self.choices:
            raise Wrong(f"Value error, must be one of: {', '.join(self.choices)}")
        return value


@dataclass
class Integer:
    """An integer, or what can be read as one."""

    low: float = -math.inf
    high: float = math.inf
    null: bool = False

    def __call__(self, value: Any) -> Any:
        if value is None and self.null:
            return None
        try:
            number = int(value)
            if isinstance(value, float) and value != number:
                raise ValueError
        except (TypeError, ValueError):
            raise Wrong("Input should be a valid integer") from None
        if not self.low <= number <= self.high:
            raise Wrong(f"Input should be {self.low} to {self.high}")
        return number


@dataclass
class Flag:
    """A boolean, or what can be read as one."""

    null: bool = False

    def __call__(self, value: Any) -> Any:
        if value is None and self.null:
            return None
        word = str(value).lower()
        if word not in TRUE + FALSE:
            raise Wrong("Input should be a valid boolean")
        return word in TRUE


Kind = Callable[[Any], Any]
REQUIRED = object()
# Of a new service (2), with what is taken where it is left out.
CREATE: dict[str, tuple[Kind, Any]] = {
    "name": (Text(1, 100), REQUIRED),
    "ip_fqdn": (Text(1, 255), REQUIRED),
    "port": (Integer(1, 65535), REQUIRED),
    "protocol": (Text(choices=PROTOCOLS), "tcp"),
    "collection": (Text(0, 100, null=True), None),
    "cluster_id": (Integer(), REQUIRED),
    "auth_type": (Text(choices=AUTH_TYPES), "none"),
    "tls_enabled": (Flag(), False),
    "tls_verify": (Flag(), True),
    "health_check_enabled": (Flag(), False),
    "health_check_path": (Text(null=True), None),
    "health_check_interval": (Integer(5), 30),
    "jwt_expiry": (Integer(300, null=True), None),
    "jwt_algorithm": (Text(null=True), "HS256"),
}
# Of a change: nearly everything passes, null too.
PATCH: dict[str, Kind] = {
    "name": Text(1, 100, null=True),
    "ip_fqdn": Text(1, 255, null=True),
    "port": Integer(1, 65535, null=True),
    "protocol": Text(null=True),
    "collection": Text(null=True),
    "auth_type": Text(null=True),
    "tls_enabled": Flag(null=True),
    "tls_verify": Flag(null=True),
    "health_check_enabled": Flag(null=True),
    "health_check_path": Text(null=True),
    "health_check_interval": Integer(5, null=True),
    "is_active": Flag(null=True),
}


@dataclass
class Service:
    """One row; names and order are those of the API's answers."""

    name: str
    ip_fqdn: str
    port: int
    protocol: str | None = "tcp"
    collection: str | None = None
    cluster_id: int = 1
    auth_type: str | None = "none"
    tls_enabled: bool | None = False
    tls_verify: bool | None = True
    health_check_enabled: bool | None = False
    health_check_path: str | None = None
    health_check_interval: int | None = 30
    id: int = 0
    token_base64: str | None = None
    jwt_secret: str | None = None
    jwt_expiry: int = 3600
    jwt_algorithm: str = "HS256"
    is_active: bool | None = True
    created_by: int = 1
    created_at: float = 0
    updated_at: float = 0
    assigned: set[int] = field(default_factory=set)

    @property
    def poisoned(self) -> bool:
        """Whether an answer that has to render the row is an error (0.4)."""
        return (
            self.protocol not in PROTOCOLS
            or self.auth_type not in AUTH_TYPES
            or None in (self.tls_enabled, self.tls_verify, self.health_check_enabled, self.is_active)
            or self.health_check_interval is None
        )

    def shown(self) -> dict[str, Any]:
        """Return it as in an answer, secrets in clear (2)."""
        return {key: value for key, value in vars(self).items() if key != "assigned"}


@dataclass
class Cluster:
    """A cluster, with the key of its proxies."""

    name: str
    key: str
    id: int = 0
    is_active: bool = True

    def shown(self) -> dict[str, Any]:
        """Return it as in an answer; its key is in none."""
        return {
            **{"id": self.id, "name": self.name, "description": None, "is_active": self.is_active},
            **{"api_key_hash": "$2b$12$" + "x" * 53, "is_default": self.id == 1, "created_by": 1},
        }


@dataclass
class User:
    """Somebody who logs in."""

    username: str
    password: str
    id: int = 0
    is_admin: bool = False
    is_active: bool = True
    totp: str = ""
    clusters: set[int] = field(default_factory=set)


def validated(body: Any, kinds: Mapping[str, Kind], place: str = "body") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a body holds of some fields, and an error for each that is wrong; others are ignored (2).

    Errors repeat what was sent, passwords too (3.6).
    """
    if not isinstance(body, Mapping):
        return {}, [_error("model_attributes_type", [place], "Input should be a valid dictionary", body)]
    values: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for name, kind in kinds.items():
        if name in body:
            try:
                values[name] = kind(body[name])
            except Wrong as wrong:
                errors.append(_error("value_error", [place, name], str(wrong), body[name]))
    return values, errors


def missing(body: Any, names: Any, place: str = "body") -> list[dict[str, Any]]:
    """Return an error for each field that is not there."""
    present = body if isinstance(body, Mapping) else {}
    return [_error("missing", [place, name], "Field required", body) for name in names if name not in present]


def _error(kind: str, place: list[str], message: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "loc": place, "msg": message, "input": value, "url": "https://errors.pydantic.dev/"}


def refused_by_database(values: Mapping[str, Any]) -> bool:
    """Whether a column is too short for a value, or must not be null: 500, and nothing is stored (2)."""
    return any(
        (isinstance(value, str) and (len(value) > COLUMNS.get(name, math.inf) or "\0" in value))
        or (isinstance(value, int) and value >= INTEGER)
        or (value is None and name in NOT_NULL)
        for name, value in values.items()
    )
