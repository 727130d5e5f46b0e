"""The hosts of the data plane, what they are made of, and this service's settings: their REST resources."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from flask import Blueprint, Response, jsonify

from . import __version__, agent, config, dataplane, drops, idempotency
from . import host_shapes as shapes
from .api_tokens import MOST as TOKENS
from .context import plane, services
from .errors import ApiError
from .operations import AGENT, operation
from .planes import Plane
from .schemas import DropPage, Drops
from .scopes import Scope
from .shapes import Shape

T = TypeVar("T")

AWAY, AGENT_AWAY = dataplane.AWAY[1], agent.AWAY[1]

blueprint = Blueprint("hosts", __name__, url_prefix="/api/v1")


@operation(blueprint, "GET", "/hosts", Scope.DATAPLANE_READ, gives=shapes.Hosts)
def list_hosts() -> Response:
    """Tell which hosts the data plane has, and what is on their interfaces, as far as anybody answers."""
    return jsonify(hosts=services().planes.ask_all(_host, partial(_silent, AWAY)))


def _host(asked: Plane) -> dict[str, Any]:
    """Return what is known of a host, as far as it answers."""
    status = asked.dataplane.status()
    if not status["reachable"]:
        # What its agent and its workers know comes by the same way, and each would take a deadline to say so.
        return _silent(AWAY, asked)
    missing: list[str] = []

    def or_none(ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except ApiError as error:
            if error.message not in missing:
                missing.append(error.message)
            return None

    name, topology = or_none(asked.agent.topology) or (None, None)
    # Who did not answer the one takes as long for the other.
    policies = or_none(asked.agent.policies) if AGENT_AWAY not in missing else None
    workers = or_none(asked.afxdp.workers)
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"mode": None, "policies": [], "workers": []})
    for interface in status["interfaces"]:
        found[interface["name"]]["mode"] = interface["mode"]
    for policy in policies["policies"] if policies else []:
        for interface in policy["interfaces"]:
            found[interface]["policies"].append(policy["name"])
    for worker in workers or []:
        found[worker["nic"]]["workers"].append(worker["name"])
    return {
        "host": asked.name,
        "name": name,
        "target": asked.target,
        "reachable": True,
        "status": status["status"],
        "release": topology["kernel"]["release"] if topology else None,
        "interfaces": [{"name": interface, **found[interface]} for interface in sorted(found)],
        "missing": missing,
    }


def _silent(why: str, asked: Plane) -> dict[str, Any]:
    return {
        **{"host": asked.name, "name": None, "target": asked.target, "reachable": False, "status": "unreachable"},
        **{"release": None, "interfaces": [], "missing": [why]},
    }


@operation(blueprint, "GET", "/topology", Scope.DATAPLANE_READ, gives=shapes.Topology, refusals=AGENT, of_host=True)
def show_topology() -> Response:
    """Tell what the host is made of: NUMA nodes, CPUs, NICs with their queues and interrupts."""
    name, found = plane().agent.topology()
    return jsonify(
        host=name,
        release=found["kernel"]["release"],
        nodes=[_known(shapes.Node, node) for node in found["nodes"]],
        cpus=_known(shapes.Cpus, found["cpus"]),
        nics=[_known(shapes.Nic, nic) for nic in found["nics"]],
    )


def _known(shape: type[Shape], told: dict[str, Any]) -> dict[str, Any]:
    """Return what the shape has; the agent of a newer release may tell more."""
    return {name: told.get(name) for name in shape.model_fields}


@operation(
    blueprint, "GET", "/drops", Scope.PACKETS_READ, window=Drops, gives=shapes.Drops, refusals=AGENT, of_host=True
)
def list_drops(window: Drops) -> Response:
    """Show the last packets that were dropped, or would have been: samples, of which so many are taken in a second."""
    return jsonify(drops=plane().agent.samples(window))


@operation(
    blueprint, "GET", "/drops/history", Scope.PACKETS_READ, window=DropPage, gives=shapes.KeptDrops, of_host=True
)
def list_kept_drops(window: DropPage) -> Response:
    """Page through the samples that go-backend handed on: the last ten thousand of the host, the newest first."""
    found, following = drops.page(services().database, plane().name, window)
    return jsonify(drops=found, next=following)


@operation(blueprint, "GET", "/settings", Scope.SETTINGS_READ, gives=shapes.Settings)
def list_settings() -> Response:
    """Tell how this service is set up; no secret is among it."""
    told = services().settings
    targets = ", ".join(f"{one.name} at {one.target}" for one in told.hosts) or told.go_backend_target
    variable = "GO_BACKENDS" if told.hosts else "GO_BACKEND_TARGET"
    rows: list[tuple[str, Any, str | None, str]] = [
        ("version", __version__, None, "This release."),
        ("access_token_seconds", told.access_ttl, "ACCESS_TOKEN_SECONDS", "Life of an access token."),
        ("session_seconds", told.session_ttl, "SESSION_SECONDS", "Life of a session."),
        ("password_length", config.PASSWORD_LENGTH, None, "Characters that a password needs."),
        ("tokens_per_account", TOKENS, None, "API tokens that an account may have."),
        ("idempotency_keys", idempotency.MOST, None, "Idempotency keys that are kept of a caller, for a day."),
        ("body_bytes", config.BODY_BYTES, None, "The largest body of a request."),
        ("database", told.database.type, "DB_TYPE", "Kind of the database."),
        ("database_tls", bool(told.database.authority), "TLS_DIRECTORY", "Whether it is asked over TLS."),
        ("go_backend", targets, variable, "Where the data plane is asked."),
        ("go_backend_tls", told.tls_directory is not None, "TLS_DIRECTORY", "Whether it is asked over mutual TLS."),
        (
            "callbacks_port",
            told.grpc_port if told.tls_directory else 0,
            "GRPC_PORT",
            "Where go-backends call this service; 0 where nobody may.",
        ),
        (
            "go_backend_trusted",
            all(one.secret is not None for one in told.go_backends),
            "GO_BACKENDS" if told.hosts else "GO_BACKEND_SECRET_FILE",
            "Whether policies, workers and packets may be asked for.",
        ),
        ("log_level", told.log_level, "LOG_LEVEL", "Least weight of the lines in the log."),
    ]
    return jsonify(
        settings=[
            {
                "name": name,
                "value": value if isinstance(value, str) else json.dumps(value),
                "variable": variable,
                "description": description,
            }
            for name, value, variable, description in rows
        ]
    )
