# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a MarchProxy gateway is to hold, what it holds, and how one is brought to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

EXTERNAL = "external"  # a source or destination outside of the described services

# The ten fields of a service, in the order that the specification prints them; those of a mapping likewise.
SERVICE_KEYS = (
    "name",
    "ip_fqdn",
    "port",
    "protocol",
    "collection",
    "auth_type",
    "tls_enabled",
    "health_check_enabled",
    "health_check_path",
    "health_check_interval",
)
MAPPING_KEYS = (
    "name",
    "description",
    "source_services",
    "dest_services",
    "listen_port",
    "protocol",
    "path_prefix",
)
# Where the server keeps the secret of an auth type, in each of its answers.
SECRETS = {"jwt": "jwt_secret", "base64": "token_base64"}

# What becomes of a service of protocol grpc, which a server of single requests refuses: sent as tcp or http, or not
# at all. A server that takes whole imports gets it as it is.
GRPC_POLICIES = ("tcp", "http", "fail")
GRPC_KEPT = "keep"
PRESENT, ABSENT, DRAINED = STATES = ("present", "absent", "drained")


@dataclass(frozen=True)
class Service:
    """A service behind the gateway; the defaults are those of the specification's generator.

    Attributes:
        name: 1 to 100 characters, unique on the whole server.
        ip_fqdn: Address or host name at which the gateway reaches it.
        port: 1 to 65535.
        protocol: http, https, grpc, tcp or udp.
        collection: Group of services, which is also their owner; at most 100 characters, or None.
        auth_type: none, jwt or base64.
        tls_enabled: Whether the gateway speaks TLS to it.
        health_check_enabled: Whether the gateway checks its health.
        health_check_path: Path, or gRPC method, of the check; None for none.
        health_check_interval: Seconds between checks, 5 or more.
        tls_verify: Whether the gateway verifies its certificate; None: not said, so neither sent nor compared.
        is_active: Whether it gets traffic. No field of the import files: only a rollback file has it otherwise.
    """

    name: str
    ip_fqdn: str
    port: int
    protocol: str = "http"
    collection: str | None = None
    auth_type: str = "none"
    tls_enabled: bool = False
    health_check_enabled: bool = True
    health_check_path: str | None = "/healthz"
    health_check_interval: int = 30
    tls_verify: bool | None = None
    is_active: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Service:
        """Return the service of a mapping that was checked; a tls_verify of None is one that is not said."""
        return cls(**{field.name: given[field.name] for field in fields(cls) if field.name in given})

    def exported(self) -> dict[str, Any]:
        """Return it as the import files have it: the ten fields in order, and tls_verify where it is said."""
        exported = {key: getattr(self, key) for key in SERVICE_KEYS}
        return exported if self.tls_verify is None else {**exported, "tls_verify": self.tls_verify}


@dataclass(frozen=True)
class Route:
    """Which traffic reaches which services: what the specification calls a mapping.

    Attributes:
        name: 1 to 100 characters.
        source_services: Names of services, or EXTERNAL.
        dest_services: Names of services, or EXTERNAL.
        listen_port: Port of the gateway.
        description: A sentence for people.
        protocol: As of a service.
        path_prefix: Beginning of the request's path.
    """

    name: str
    source_services: tuple[str, ...]
    dest_services: tuple[str, ...]
    listen_port: int
    description: str = ""
    protocol: str = "https"
    path_prefix: str = "/"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Route:
        """Return the route of a mapping that was checked."""
        values: dict[str, Any] = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        sides = {side: tuple(values[side]) for side in ("source_services", "dest_services")}
        return cls(**{**values, **sides})

    def exported(self) -> dict[str, Any]:
        """Return it as the import files have it."""
        values = {key: getattr(self, key) for key in MAPPING_KEYS}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(frozen=True)
class Gateway:
    """What the gateway is to import, checked.

    Attributes:
        services: In the order given.
        mappings: In the order given.
        metadata: ``app_name``, ``generated_by`` and ``version``.
    """

    services: Sequence[Service]
    mappings: Sequence[Route]
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Gateway:
        """Return what a document of the shape of ``import-config.json`` describes, which was checked."""
        services = tuple(Service.of(one) for one in document["services"])
        mappings = tuple(Route.of(one) for one in document.get("mappings", ()))
        return cls(services, mappings, dict(document["metadata"]))


@dataclass(frozen=True)
class Row:
    """A service as a server lists it, without its secrets.

    Attributes:
        id: The server's own.
        fields: What the server told of SERVICE_KEYS, tls_verify and is_active, legal or not; a key that it did not
            tell is missing here, and is not compared.
        cluster_id: None where the server tells none.
        without_secret: Auth types whose secret the server says is null.
    """

    id: int | str
    fields: Mapping[str, Any]
    cluster_id: int | None = None
    without_secret: frozenset[str] = frozenset()

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Row:
        """Return the row of an answer of ``/services``; secrets in it are looked at and forgotten."""
        return cls(
            body["id"],
            {key: body[key] for key in (*SERVICE_KEYS, "tls_verify", "is_active") if key in body},
            body.get("cluster_id"),
            frozenset(kind for kind, key in SECRETS.items() if key in body and not body[key]),
        )

    @classmethod
    def of_config(cls, body: Mapping[str, Any], cluster_id: int) -> Row:
        """Return the row of a service in ``/config/{cluster_id}``, the one answer that shows illegal values.

        Of a service whose health check is null it does not show whether that is off or null itself, nor the interval:
        both are taken for null, which is illegal, so that a repair states them. It shows the secret of the auth type
        in force only. Call it for rows that the list cannot show.
        """
        auth, tls, health = (body.get(key) or {} for key in ("auth", "tls", "health_check"))
        kind = auth.get("type")
        secret = auth.get("token_base64") if kind == "base64" else (auth.get("jwt") or {}).get("secret")
        shown = {key: body[key] for key in ("name", "ip_fqdn", "port", "protocol", "collection") if key in body}
        nested = {
            "auth_type": kind,
            "tls_enabled": tls.get("enabled"),
            "tls_verify": tls.get("verify"),
            "health_check_enabled": health.get("enabled"),
            **({"health_check_path": health["path"]} if "path" in health else {}),
            "health_check_interval": health.get("interval"),
            "is_active": True,
        }
        lacking = frozenset({kind} if kind in SECRETS and not secret else ())
        return cls(body["id"], {**shown, **nested}, cluster_id, lacking)

    @property
    def name(self) -> str:
        """The name; empty where the server told none."""
        return str(self.fields.get("name") or "")

    @property
    def active(self) -> bool:
        """Whether it is not soft-deleted; a server that says nothing of it has active ones only."""
        return self.fields.get("is_active", True) is True


@dataclass(frozen=True)
class Settings:
    """How rows are reconciled.

    Attributes:
        collection: The application's name. Rows of another collection are somebody else's, and never touched.
        cluster_id: Of the server's clusters, the one to write to; rows of another are never touched. None where the
            server has no clusters.
        state: Of the services given. DRAINED ones get no traffic, are otherwise as they were, and come back by PRESENT.
        prune: Whether active rows of the same cluster and collection that were not given go too; not with DRAINED.
        grpc: One of GRPC_POLICIES, or GRPC_KEPT.
        mappings: Whether the server takes mappings.
        strict: Whether what the server cannot do is a failure.
        partial: Whether the services given are only some of the collection's, so that the others are no news.
    """

    collection: str
    cluster_id: int | None = None
    state: str = PRESENT
    prune: bool = False
    grpc: str = "tcp"
    mappings: bool = False
    strict: bool = False
    partial: bool = False
