# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The steps that bring a gateway's server from the rows that it lists to the services that it is to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.converge import Impossible
from .._core.json_schema import faults
from .model import DRAINED, GRPC_KEPT, PRESENT, SECRETS, Route, Row, Service, Settings
from .schema import SERVED_PROTOCOLS, SERVICE

CREATE, UPDATE, REVIVE, ROTATE, DELETE = "create", "update", "revive", "rotate-token", "delete"
UNCHANGED, CONFLICT, UNSUPPORTED = "unchanged", "conflict", "unsupported"
# Each a request that writes.
WRITES = (CREATE, UPDATE, REVIVE, ROTATE, DELETE)
# In a report; a service whose token is made is an updated one.
RESULTS = {
    CREATE: "created",
    UPDATE: "updated",
    REVIVE: "revived",
    ROTATE: "updated",
    DELETE: "deleted",
    UNCHANGED: "unchanged",
    CONFLICT: "conflict",
    UNSUPPORTED: "unsupported",
}
# What an illegal value in a row that nobody describes is replaced by: the server's own default, and no traffic for one
# of which it is not known whether it had any. Fields that are not here cannot be stored illegally.
REPAIRS: Mapping[str, Any] = {
    "protocol": "tcp",
    "auth_type": "none",
    "tls_enabled": False,
    "tls_verify": True,
    "health_check_enabled": False,
    "health_check_interval": 30,
    "is_active": False,
}
_ILLEGAL = "holds an illegal value, which makes every list an error"
_NAMED = 10  # services that a warning names
UNSEEN = "it may be the row that the list cannot show, because its value is illegal: give cluster_key"


@dataclass(frozen=True)
class Step:
    """What becomes of one service or mapping.

    Attributes:
        action: One of WRITES, UNCHANGED, CONFLICT or UNSUPPORTED.
        name: Of the service, or of the mapping.
        id: Of the row; None where there is none.
        before: The fields that change, as the row has them.
        after: Of CREATE the whole service with its cluster_id, of UPDATE and REVIVE the smallest PATCH, of ROTATE
            ``auth_type``; of DELETE, which is always a soft one, what it makes of the row.
        whole: Of UPDATE and REVIVE the service with all fields, for a server whose verb replaces it.
        reason: Why, where that does not go without saying.
    """

    action: str
    name: str
    id: int | str | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they are carried out, deletions last: there are never fewer services than need be.

    Attributes:
        steps: Those that write and those that do not.
        warnings: What is not as the input says, or stays though nothing describes it.
    """

    steps: Sequence[Step]
    warnings: Sequence[str] = ()

    @property
    def writes(self) -> list[Step]:
        """The steps that each are a request; empty where the server holds what it is to hold."""
        return [step for step in self.steps if step.action in WRITES]

    @property
    def results(self) -> dict[str, list[str]]:
        """Names by what becomes of them, each value of RESULTS a key."""
        found: dict[str, list[str]] = {result: [] for result in RESULTS.values()}
        for step in self.steps:
            names = found[RESULTS[step.action]]
            if step.name not in names:
                names.append(step.name)
        return found

    def failures(self, strict: bool) -> list[str]:
        """Return why the server cannot hold all that it is to hold: conflicts, and if strict what is unsupported."""
        failing = (CONFLICT, UNSUPPORTED) if strict else (CONFLICT,)
        return [f"{step.name}: {step.reason}" for step in self.steps if step.action in failing]


def plan(
    services: Sequence[Service],
    mappings: Sequence[Route],
    rows: Iterable[Row],
    settings: Settings,
    unseen: bool = False,
) -> Plan:
    """Return the steps from the rows to the services; once they are carried out, the next plan is without writes.

    Not so where a row came of ``Row.of_config``, which hides some fields, or where the server made no secret for a
    service that was created: list again and plan once more.

    Args:
        services: Checked; those to remove or to drain, by the settings' state.
        mappings: Checked.
        rows: All that the server lists, of every cluster and collection, deleted ones too.
        settings: How.
        unseen: Whether the server has rows that it does not list and that may get traffic: a service that is not in the
            rows is then not known to be gone.

    Raises:
        Impossible: A service is of protocol grpc, which settings.grpc forbids; the message names all of them.
    """
    known = {row.id: row for row in rows}
    by_name: dict[str, list[Row]] = {}
    for row in known.values():
        by_name.setdefault(row.name, []).append(row)
    sent, warnings = _as_sent(services, settings)
    described = {service.name for service in services}
    others = [row for row in known.values() if is_ours(row, settings) and row.name not in described]
    # First, as they repair what keeps a run from listing what it did.
    steps = [step for row in others for step in _of_other(row, settings)]
    for service in sent:
        found = by_name.get(service.name, [])
        if unseen and not found and settings.state != PRESENT:
            steps.append(Step(CONFLICT, service.name, reason=UNSEEN))
        else:
            steps += _of_service(service, found, settings)
    if settings.state == PRESENT and not settings.prune and not settings.partial:
        warnings += _left(sorted(row.name for row in others if row.active), settings)
    if settings.state == PRESENT and not settings.mappings:
        steps += [_unsupported(mapping) for mapping in mappings]
    return Plan(sorted(steps, key=lambda step: step.action == DELETE), warnings)


def _left(names: Sequence[str], settings: Settings) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield (
            f"services of collection {settings.collection} that are not described stay as they are (prune removes "
            f"them): {', '.join(names[:_NAMED])}{more}"
        )


def _as_sent(services: Sequence[Service], settings: Settings) -> tuple[list[Service], list[str]]:
    """Return the services as this server takes them, and what differs from how they were described."""
    if settings.grpc == GRPC_KEPT or settings.state != PRESENT:
        return list(services), []
    grpc = [service.name for service in services if service.protocol == "grpc"]
    if grpc and settings.grpc == "fail":
        raise Impossible(
            f"the server takes no service of protocol grpc, and these are: {', '.join(grpc)}; have them sent as tcp, "
            "which hands HTTP/2 through untouched, or as http"
        )
    sent = [_without_grpc(service, settings.grpc) if service.protocol == "grpc" else service for service in services]
    return sent, [f"{name}: the server takes no grpc, so it is sent as {settings.grpc}" for name in grpc]


def _without_grpc(service: Service, protocol: str) -> Service:
    # The proxy makes a plain HTTP check of any path, which a gRPC service fails.
    path = None if protocol == "http" else service.health_check_path
    return replace(service, protocol=protocol, health_check_path=path)


def _of_service(service: Service, rows: Sequence[Row], settings: Settings) -> Iterator[Step]:
    if settings.state != PRESENT:
        yield from _stopped(service, rows, settings)
    elif not rows:
        yield _created(service, settings)
    elif len(rows) > 1:
        ids = ", ".join(str(row.id) for row in rows)
        yield Step(
            CONFLICT, service.name, reason=f"the server has {len(rows)} of that name ({ids}): remove all but one"
        )
    elif owner := _foreign(rows[0], settings):
        reason = f"the name is taken by {owner}: choose another app name, or have that one removed for good"
        yield Step(CONFLICT, service.name, rows[0].id, reason=reason)
    else:
        yield from _compared(service, rows[0], settings)


def _created(service: Service, settings: Settings) -> Step:
    if not service.is_active:
        return Step(UNCHANGED, service.name, reason="is not there, so gets no traffic")
    cluster = {} if settings.cluster_id is None else {"cluster_id": settings.cluster_id}
    return Step(CREATE, service.name, after={**service.exported(), **cluster})


def _compared(service: Service, row: Row, settings: Settings) -> Iterator[Step]:
    whole = {**service.exported(), "is_active": service.is_active}
    legal = {key: value for key, value in repairs(row, settings).items() if key not in whole}
    after = {key: value for key, value in whole.items() if key in row.fields and row.fields[key] != value}
    after.update(legal)
    if after:
        action = REVIVE if after.get("is_active") else UPDATE
        yield Step(action, service.name, row.id, _values(row, after), after, {**whole, **legal})
    lacks_secret = service.auth_type in row.without_secret
    if lacks_secret:
        after = {"auth_type": service.auth_type}
        reason = f"{SECRETS[service.auth_type]} is null: the server makes it"
        yield Step(ROTATE, service.name, row.id, after=after, reason=reason)
    elif not after:
        yield Step(UNCHANGED, service.name, row.id)


def _stopped(service: Service, rows: Sequence[Row], settings: Settings) -> Iterator[Step]:
    ours = [row for row in rows if is_ours(row, settings)]
    drains = settings.state == DRAINED
    steps = [step for row in ours for step in (_drained(row, settings) if drains else _removed(row, settings))]
    yield from steps
    if not steps:
        reason = f"belongs to {_foreign(rows[0], settings)}" if rows and not ours else ""
        yield Step(UNCHANGED, service.name, reason=reason)


def _of_other(row: Row, settings: Settings) -> Iterator[Step]:
    pruned = settings.prune and settings.state != DRAINED
    return _removed(row, settings) if pruned else _updated(row, repairs(row, settings), _ILLEGAL)


def _removed(row: Row, settings: Settings) -> Iterator[Step]:
    yield from _updated(row, repairs(row, settings), _ILLEGAL)
    if row.active:
        yield Step(DELETE, row.name, row.id, {"is_active": True}, {"is_active": False})


def _drained(row: Row, settings: Settings) -> Iterator[Step]:
    legal = repairs(row, settings)
    after = {**legal, "is_active": False} if row.active else legal
    return _updated(row, after, _ILLEGAL if legal else "")


def _updated(row: Row, after: Mapping[str, Any], reason: str) -> Iterator[Step]:
    if after:
        yield Step(UPDATE, row.name, row.id, _values(row, after), after, {**row.fields, **after}, reason)


def _unsupported(mapping: Route) -> Step:
    return Step(UNSUPPORTED, mapping.name, reason="the server has no way to import a mapping: route it by hand")


def repairs(row: Row, settings: Settings) -> dict[str, Any]:
    """Return a legal value for each field of a row whose value the server cannot answer with."""
    return {
        key: value
        for key, value in REPAIRS.items()
        if key in row.fields and not _is_legal(key, row.fields[key], settings.grpc)
    }


def _is_legal(key: str, value: Any, grpc: str) -> bool:
    if key == "is_active":
        return isinstance(value, bool)
    if key == "protocol" and grpc != GRPC_KEPT:
        return value in SERVED_PROTOCOLS
    return not any(faults(value, SERVICE["properties"][key]))


def _values(row: Row, keys: Iterable[str]) -> dict[str, Any]:
    return {key: row.fields[key] for key in keys if key in row.fields}


def is_ours(row: Row, settings: Settings) -> bool:
    """Return whether a row is of the cluster and the collection that are reconciled."""
    return not _foreign(row, settings)


def _foreign(row: Row, settings: Settings) -> str:
    """Return whose a row is, empty where it is ours."""
    if None not in (settings.cluster_id, row.cluster_id) and row.cluster_id != settings.cluster_id:
        return f"a service of cluster {row.cluster_id}"
    collection = row.fields.get("collection")
    if collection != settings.collection:
        return f"a service of collection {collection}" if collection else "a service without collection"
    return ""
