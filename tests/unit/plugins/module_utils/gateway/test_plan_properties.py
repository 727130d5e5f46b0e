"""What holds for every state of a server and everything that it is to hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._gateway import rollback
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Service, Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.plan import Step, is_ours, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from .stored import ENUMS, NOT_NULL, Stored, is_poisoned

# TRIPOD_EXAMPLES of each property, others in every run; without it always the same few.
MORE = os.environ.get("TRIPOD_EXAMPLES")
SETTINGS = settings(
    max_examples=int(MORE or 100),
    derandomize=not MORE,
    deadline=None,
    database=None,
)
NAMES = [f"myapp-{letter}" for letter in "abcdef"]
# Of few values, so that services and rows agree often.
FIELDS = {
    "ip_fqdn": ("192.0.2.1", "192.0.2.2"),
    "port": (80, 5000),
    "auth_type": ENUMS["auth_type"],
    "tls_enabled": (True, False),
    "health_check_enabled": (True, False),
    "health_check_path": ("/", "/healthz"),
    "health_check_interval": (5, 30),
}
OF_ROWS = {
    "cluster_id": (1, 1, 1, 2),
    "collection": ("myapp", "myapp", "myapp", "other", None, ""),
    "is_active": (True, True, False),
    "protocol": ENUMS["protocol"],
    "tls_verify": (True, False),
    "jwt_secret": (None, "old"),
    "token_base64": (None, "old"),
}
POISON = {**dict.fromkeys(NOT_NULL), "protocol": "grpc", "auth_type": "api_key"}


def drawn(random: Random, choices: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    return {key: random.choice(values) for key, values in choices.items()}


def described_by(seed: int) -> list[Service]:
    """Return services to be had, of different names."""
    random = Random(seed)
    choices = {**FIELDS, "protocol": (*ENUMS["protocol"], "grpc"), "tls_verify": (None, None, True, False)}
    names = random.sample(NAMES, random.randint(0, 5))
    return [Service(name=name, collection="myapp", **drawn(random, choices)) for name in names]


def stored_by(seed: int) -> list[dict[str, Any]]:
    """Return rows of a server, of different names, a third of them with an illegal value or two."""
    random = Random(seed)
    rows = [
        {"name": name, **drawn(random, {**FIELDS, **OF_ROWS})} for name in random.sample(NAMES, random.randint(0, 6))
    ]
    for row in rows:
        if not random.randrange(3):
            row.update({key: POISON[key] for key in random.choices(list(POISON), k=2)})
    return rows


seeds = st.integers(0, 10**9)
stores, services = seeds.map(stored_by), seeds.map(described_by)
ways = st.builds(
    Settings,
    collection=st.just("myapp"),
    cluster_id=st.just(1),
    state=st.sampled_from(["present", "present", "present", "absent", "drained"]),
    prune=st.booleans(),
    grpc=st.sampled_from(["tcp", "http"]),
)


def of_others(server: Stored, way: Settings) -> list[dict[str, Any]]:
    return [row for row in server.rows.values() if row["cluster_id"] != 1 or row["collection"] != way.collection]


def carried_out(server: Stored, described: list[Service], way: Settings, most: int | None = None) -> list[Step]:
    """Carry out a plan, or its first steps, and return them."""
    steps = plan(described, (), server.listed(), way).writes[:most]
    for step in steps:
        server.carry_out(step)
    return steps


@SETTINGS
@given(stores, services, ways)
def test_after_one_run_nothing_is_left_to_do_and_what_is_others_is_as_it_was(stored, described, way):
    server = Stored(stored)
    others = repr(of_others(server, way))
    carried_out(server, described, way)
    assert plan(described, (), server.listed(), way).writes == []
    assert repr(of_others(server, way)) == others
    # And the server answers: what is ours is legal.
    assert [row for row in server.rows.values() if is_poisoned(row)] == [
        row for row in of_others(server, way) if is_poisoned(row)
    ]


@SETTINGS
@given(stores, services, ways)
def test_a_patch_holds_what_differs_and_nothing_else(stored, described, way):
    server = Stored(stored)
    for step in plan(described, (), server.listed(), way).writes:
        if step.action in ("update", "revive"):
            row = server.rows[step.id]
            assert step.before == {key: row[key] for key in step.after}
            assert [key for key, value in step.after.items() if row[key] == value] == []
            differing = {key for key, value in step.whole.items() if key in row and row[key] != value}
            assert set(step.after) == differing
        server.carry_out(step)


@SETTINGS
@given(stores, services, ways)
def test_every_service_described_is_served_as_described_or_a_conflict(stored, described, way):
    way = replace(way, state="present")
    server = Stored(stored)
    carried_out(server, described, way)
    conflicts = plan(described, (), server.listed(), way).results["conflict"]
    by_name = {row["name"]: row for row in server.rows.values()}
    for service in described:
        row = by_name[service.name]
        if service.name in conflicts:
            assert row in of_others(server, way)
            continue
        grpc = service.protocol == "grpc"
        assert row["protocol"] == (way.grpc if grpc else service.protocol)
        plain = ("ip_fqdn", "port", "auth_type", "tls_enabled", "health_check_enabled", "health_check_interval")
        assert {key: row[key] for key in plain} == {key: getattr(service, key) for key in plain}
        assert row["health_check_path"] == (None if grpc and way.grpc == "http" else service.health_check_path)
        assert row["is_active"] is True
        assert service.auth_type == "none" or row[{"jwt": "jwt_secret", "base64": "token_base64"}[service.auth_type]]


@SETTINGS
@given(stores, services, ways, st.integers(0, 8))
def test_a_run_that_ends_anywhere_is_completed_by_the_next(stored, described, way, most):
    whole, broken = Stored(stored), Stored(stored)
    carried_out(whole, described, way)
    carried_out(broken, described, way, most)
    carried_out(broken, described, way)
    assert broken.rows == whole.rows


@SETTINGS
@given(stores, services, ways)
def test_rows_that_no_list_shows_are_repaired_from_the_configuration(stored, described, way):
    # Of the illegal ones, those that the configuration shows: active ones of our cluster.
    server = Stored(row for row in stored if not is_poisoned(row) or (row["is_active"] and row["cluster_id"] == 1))
    others = of_others(server, way)
    for _round in range(3):
        for step in plan(described, (), server.listed_around_poison(1), way).writes:
            server.carry_out(step)
    assert plan(described, (), server.listed_around_poison(1), way).writes == []
    assert [row for row in server.rows.values() if is_poisoned(row) and row not in others] == []


@SETTINGS
@given(stores, services, ways)
def test_a_rollback_file_brings_back_what_was_there(stored, described, way):
    server = Stored(stored)
    repaired = server.copy()
    carried_out(repaired, [], replace(way, prune=False))
    text = rollback.export(server.listed(), way, "https://gateway.example.net")
    assert "old" not in text
    assert "secret" not in text
    before = deepcopy(repaired.rows)
    carried_out(server, described, way)

    kept = rollback.restored(text)
    back = kept.settings(way, kept.server)
    for step in plan(kept.services, (), server.listed(), back).writes:
        server.carry_out(step)
    assert plan(kept.services, (), server.listed(), back).writes == []
    secrets = ("jwt_secret", "token_base64")
    for number, row in server.rows.items():
        if number not in before:
            assert row["is_active"] is False  # made since
        elif not is_ours_row(row, way):
            assert row == before[number]
        else:
            assert {**row, **dict.fromkeys(secrets)} == {**before[number], **dict.fromkeys(secrets)}


def is_ours_row(row: dict[str, Any], way: Settings) -> bool:
    return is_ours(next(one for one in Stored([row]).listed()), way)
