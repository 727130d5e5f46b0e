"""What a gateway's server is to do, by what it lists."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import (
    ABSENT,
    DRAINED,
    GRPC_KEPT,
    Route,
    Row,
    Service,
    Settings,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.plan import Step, plan
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.table import table

API = Service("myapp-api", "192.0.2.1", 5000, collection="myapp")
RPC = Service("myapp-rpc", "192.0.2.1", 50051, "grpc", "myapp", health_check_path="/grpc.health.v1.Health/Check")
OURS = Settings("myapp", cluster_id=1)
SECRETS = {"jwt_secret": None, "token_base64": None}
STAY = "services of collection myapp that are not described stay as they are (prune removes them):"
SAME = (
    ("ip_fqdn", "192.0.2.9"),
    ("port", 8080),
    ("protocol", "https"),
    ("tls_enabled", True),
    ("health_check_enabled", False),
    ("health_check_path", None),
    ("health_check_interval", 5),
)


def answer(service=API, number=7, **fields):
    """Return a row as the server lists it, with all of its keys."""
    named = {**service.exported(), "id": number, "cluster_id": 1, "tls_verify": True, "is_active": True}
    return {**named, **SECRETS, "jwt_expiry": 3600, "created_by": 1, **fields}


def row(service=API, number=7, **fields):
    return Row.of(answer(service, number, **fields))


def steps(services, rows, settings=OURS, mappings=()):
    return list(plan(services, mappings, rows, settings).steps)


def actions(services, rows, settings=OURS):
    return [(step.action, step.name) for step in steps(services, rows, settings)]


def test_what_is_not_there_is_created_with_all_ten_fields_and_its_cluster():
    (step,) = steps([API], [])
    assert step == Step("create", "myapp-api", after={**API.exported(), "cluster_id": 1})
    assert len(step.after) == 11
    (step,) = steps([replace(API, tls_verify=False)], [])
    assert step.after["tls_verify"] is False


def test_a_server_without_clusters_gets_none():
    assert "cluster_id" not in steps([API], [], replace(OURS, cluster_id=None))[0].after


def test_what_is_as_described_is_left_alone():
    assert steps([API], [row()]) == [Step("unchanged", "myapp-api", 7)]
    assert not plan([API], (), [row()], OURS).writes


@pytest.mark.parametrize(("field", "value"), SAME)
def test_a_field_that_differs_is_the_whole_patch(field, value):
    (step,) = steps([API], [row(**{field: value})])
    assert (step.action, step.id) == ("update", 7)
    assert step.after == {field: getattr(API, field)}
    assert step.before == {field: value}
    assert step.whole == {**API.exported(), "is_active": True}


def test_whether_certificates_are_verified_is_compared_where_it_is_said():
    assert actions([API], [row(tls_verify=False)]) == [("unchanged", "myapp-api")]
    (step,) = steps([replace(API, tls_verify=True)], [row(tls_verify=False)])
    assert step.after == {"tls_verify": True}
    assert actions([replace(API, tls_verify=True)], [row(tls_verify=True)]) == [("unchanged", "myapp-api")]


def test_what_a_server_does_not_say_is_not_compared():
    bare = {key: value for key, value in answer().items() if key in ("id", "name", "port", "collection")}
    assert actions([API], [Row.of(bare)]) == [("unchanged", "myapp-api")]
    assert steps([API], [Row.of({**bare, "port": 1})])[0].after == {"port": 5000}


def test_a_deleted_one_is_revived_with_what_differs():
    (step,) = steps([API], [row(is_active=False, port=1)])
    assert (step.action, step.after) == ("revive", {"port": 5000, "is_active": True})
    assert step.before == {"port": 1, "is_active": False}


@pytest.mark.parametrize(
    ("fields", "owner"),
    [
        ({"cluster_id": 2}, "a service of cluster 2"),
        ({"collection": "other"}, "a service of collection other"),
        ({"collection": None}, "a service without collection"),
        ({"collection": ""}, "a service without collection"),
        ({"collection": "other", "is_active": False}, "a service of collection other"),
        ({"collection": "MyApp"}, "a service of collection MyApp"),
    ],
)
def test_what_is_somebody_elses_is_a_conflict_and_not_touched(fields, owner):
    made = plan([API], (), [row(port=1, **fields)], replace(OURS, prune=True))
    (step,) = made.steps
    assert step.action == "conflict"
    assert step.reason.startswith(f"the name is taken by {owner}: ")
    assert not made.writes
    assert made.failures(strict=False) == [f"myapp-api: {step.reason}"]


def test_two_of_a_name_are_a_conflict_and_one_that_is_listed_twice_is_one():
    assert actions([API], [row(), row()]) == [("unchanged", "myapp-api")]
    (step,) = steps([API], [row(), row(number=8)])
    assert (step.action, step.reason) == ("conflict", "the server has 2 of that name (7, 8): remove all but one")


@pytest.mark.parametrize(("kind", "key"), [("jwt", "jwt_secret"), ("base64", "token_base64")])
def test_a_secret_that_is_null_is_made_once(kind, key):
    service = replace(API, auth_type=kind)
    update, rotate = steps([service], [row()])
    assert (update.action, update.after) == ("update", {"auth_type": kind})
    assert (rotate.action, rotate.id, rotate.after) == ("rotate-token", 7, {"auth_type": kind})
    assert [one.action for one in steps([service], [row(service)])] == ["rotate-token"]
    assert [one.action for one in steps([service], [row(service, **{key: "s3cret"})])] == ["unchanged"]
    assert [one.action for one in steps([service], [row(**{key: "s3cret"})])] == ["update"]


def test_a_server_that_shows_no_secrets_is_not_asked_for_one():
    shown = {key: value for key, value in answer(replace(API, auth_type="jwt")).items() if key not in SECRETS}
    assert actions([replace(API, auth_type="jwt")], [Row.of(shown)]) == [("unchanged", "myapp-api")]


def test_no_secret_is_in_a_plan():
    service = replace(API, auth_type="jwt")
    secret = {"jwt_secret": "s3cret", "token_base64": "s3cret"}
    rows = [row(service, port=1, **secret), row(replace(API, name="old"), 8, **secret)]
    assert "s3cret" not in repr((rows, plan([service], (), rows, replace(OURS, prune=True))))


def test_what_nobody_describes_goes_with_prune_only_and_softly_and_last():
    old = replace(API, name="myapp-old")
    rows = [row(old, 3), row(replace(API, name="gone"), 4, is_active=False)]
    kept = plan([API], (), rows, OURS)
    assert [step.action for step in kept.steps] == ["create"]
    assert kept.warnings == [f"{STAY} myapp-old"]
    pruned = plan([API], (), rows, replace(OURS, prune=True))
    assert [(step.action, step.name, step.id) for step in pruned.steps][1:] == [("delete", "myapp-old", 3)]
    assert not pruned.warnings


def test_many_that_nobody_describes_are_one_warning():
    rows = [row(replace(API, name=f"myapp-{number:02}"), number) for number in range(1, 13)]
    named = ", ".join(f"myapp-{number:02}" for number in range(1, 11))
    (warning,) = plan([API], (), rows[::-1], OURS).warnings
    assert warning == f"{STAY} {named} and 2 more"


def test_of_a_part_of_the_application_the_others_are_no_news():
    old = row(replace(API, name="myapp-old"), 3)
    assert plan([API], (), [old], replace(OURS, partial=True)).warnings == []
    assert actions([API], [old], replace(OURS, partial=True)) == [("create", "myapp-api")]


def test_prune_takes_nothing_of_another_cluster_or_collection():
    others = [
        row(replace(API, name="a"), 1, cluster_id=2),
        row(replace(API, name="b"), 2, collection="other"),
        row(replace(API, name="c"), 3, collection=None),
    ]
    assert steps([], others, replace(OURS, prune=True)) == []


def test_absent_removes_those_described_that_are_ours():
    rows = [row(), row(RPC, 8, collection="other"), row(replace(API, name="myapp-old"), 9)]
    gone = replace(API, name="myapp-gone")
    absent = replace(OURS, state=ABSENT)
    made = plan([API, RPC, gone], [Route("myapp-web", ("external",), ("myapp-api",), 443)], rows, absent)
    assert [(step.action, step.name, step.reason) for step in made.steps] == [
        ("unchanged", "myapp-rpc", "belongs to a service of collection other"),
        ("unchanged", "myapp-gone", ""),
        ("delete", "myapp-api", ""),
    ]
    assert actions([API], [row(is_active=False)], absent) == [("unchanged", "myapp-api")]
    assert ("delete", "myapp-old") in actions([API], rows, replace(absent, prune=True))


def test_drained_ones_get_no_traffic_and_are_otherwise_left_alone():
    drained = replace(OURS, state=DRAINED)
    (step,) = steps([API], [row(port=1)], drained)
    assert (step.action, step.after, step.before) == ("update", {"is_active": False}, {"is_active": True})
    assert actions([API], [row(is_active=False)], drained) == [("unchanged", "myapp-api")]
    assert actions([API], [], drained) == [("unchanged", "myapp-api")]
    assert actions([API], [row(cluster_id=2)], drained) == [("unchanged", "myapp-api")]
    others = [row(), row(replace(API, name="myapp-old"), 9)]
    assert actions([API], others, replace(drained, prune=True)) == [("update", "myapp-api")]
    assert not plan([API], (), others, drained).warnings
    assert actions([RPC], [row(RPC, protocol="tcp")], replace(drained, grpc="fail")) == [("update", "myapp-rpc")]


def test_grpc_is_sent_and_compared_as_the_policy_says():
    created = plan([RPC], (), [], OURS)
    assert created.steps[0].after["protocol"] == "tcp"
    assert created.steps[0].after["health_check_path"] == RPC.health_check_path
    assert created.warnings == ["myapp-rpc: the server takes no grpc, so it is sent as tcp"]
    assert actions([RPC], [row(RPC, protocol="tcp")]) == [("unchanged", "myapp-rpc")]

    http = replace(OURS, grpc="http")
    (step,) = steps([RPC], [], http)
    assert (step.after["protocol"], step.after["health_check_path"]) == ("http", None)
    assert actions([RPC], [row(RPC, protocol="http", health_check_path=None)], http) == [("unchanged", "myapp-rpc")]

    kept = replace(OURS, grpc=GRPC_KEPT)
    assert steps([RPC], [], kept)[0].after["protocol"] == "grpc"
    assert actions([RPC], [row(RPC)], kept) == [("unchanged", "myapp-rpc")]


def test_grpc_that_is_forbidden_names_every_service():
    with pytest.raises(Impossible, match=r"myapp-rpc, myapp-two; have them sent as tcp"):
        plan([RPC, API, replace(RPC, name="myapp-two")], (), [], replace(OURS, grpc="fail"))


def test_mappings_are_unsupported_where_the_server_takes_none():
    web = Route("myapp-web", ("external",), ("myapp-api",), 443)
    made = plan([API], [web], [row()], OURS)
    assert made.results["unsupported"] == ["myapp-web"]
    assert made.failures(strict=False) == []
    assert made.failures(strict=True) == [f"myapp-web: {made.steps[-1].reason}"]
    assert plan([API], [web], [row()], replace(OURS, mappings=True)).results["unsupported"] == []


POISON = [
    *({"protocol": "grpc"}, {"protocol": None}, {"protocol": "HTTP"}, {"auth_type": "api_key"}, {"auth_type": None}),
    *({"tls_enabled": None}, {"tls_verify": None}, {"health_check_enabled": None}, {"health_check_interval": None}),
    {"is_active": None},
]


@pytest.mark.parametrize("fields", POISON, ids=str)
def test_an_illegal_value_of_ours_is_repaired_by_the_smallest_patch(fields):
    (field,) = fields
    # Described: what it is to be; the server's default where that was not said.
    (step,) = steps([API], [row(**fields)])
    assert step.after == {field: True if field in ("tls_verify", "is_active") else getattr(API, field)}
    # Not described, and nobody prunes: the server's default, and no traffic where it is not known that it had any.
    (step,) = steps([], [row(**fields)])
    defaults = {"protocol": "tcp", "auth_type": "none", "tls_verify": True, "health_check_interval": 30}
    assert (step.action, step.after) == ("update", {field: defaults.get(field, False)})
    assert "illegal value" in step.reason


def test_illegal_values_are_repaired_before_all_else_so_that_a_run_can_list_what_it_did():
    rows = [row(port=1), row(replace(API, name="myapp-old"), 9, protocol="grpc")]
    found = actions([API, RPC], rows)
    assert found == [("update", "myapp-old"), ("update", "myapp-api"), ("create", "myapp-rpc")]


@pytest.mark.parametrize("settings", [replace(OURS, prune=True), replace(OURS, state=ABSENT)])
def test_an_illegal_value_is_repaired_before_its_service_is_deleted(settings):
    services = [API] if settings.state == ABSENT else []
    assert actions(services, [row(protocol="grpc")], settings) == [("update", "myapp-api"), ("delete", "myapp-api")]
    # Of a deleted one too, as lists have it still.
    found = actions(services, [row(protocol="grpc", is_active=False)], settings)
    assert found == [("update", "myapp-api")]


def test_an_illegal_value_is_repaired_in_the_request_that_drains():
    drained = replace(OURS, state=DRAINED)
    (step,) = steps([API], [row(protocol="grpc")], drained)
    assert (step.action, step.after) == ("update", {"protocol": "tcp", "is_active": False})
    assert step.whole["protocol"] == "tcp"
    assert [one.after for one in steps([API], [row(is_active=None)], drained)] == [{"is_active": False}]


@pytest.mark.parametrize("fields", POISON, ids=str)
def test_an_illegal_value_of_somebody_else_stays(fields):
    assert steps([], [row(**fields, collection="other")], replace(OURS, prune=True)) == []


def test_a_service_that_is_to_be_inactive_is_not_created_for_it():
    inactive = replace(API, is_active=False)
    assert actions([inactive], []) == [("unchanged", "myapp-api")]
    (step,) = steps([inactive], [row(port=1)])
    assert (step.action, step.after) == ("update", {"port": 5000, "is_active": False})


def test_results_name_every_service_once():
    jwt = replace(API, auth_type="jwt")
    rows = [row(), row(replace(API, name="new"), 8, is_active=False), row(replace(API, name="old"), 9)]
    services = [jwt, replace(API, name="new"), replace(API, name="made")]
    assert plan(services, (), rows, replace(OURS, prune=True)).results == {
        "created": ["made"],
        "updated": ["myapp-api"],
        "revived": ["new"],
        "deleted": ["old"],
        "unchanged": [],
        "conflict": [],
        "unsupported": [],
    }


def test_the_table_has_a_line_for_each_step_that_is_more_than_nothing():
    rows = [row(port=1), row(replace(API, name="old"), 9), row(replace(API, name="same"), 10)]
    services = [replace(API, auth_type="jwt"), replace(API, name="new"), replace(API, name="same")]
    assert table(plan(services, (), rows, replace(OURS, prune=True))).splitlines() == [
        'update        myapp-api  port: 1 -> 5000, auth_type: "none" -> "jwt"',
        "rotate-token  myapp-api  jwt_secret is null: the server makes it",
        "create        new        http 192.0.2.1:5000, auth none",
        "delete        old        is_active: true -> false",
        "1 unchanged",
    ]
    assert table(plan([API], (), [row()], OURS)) == "1 unchanged"
    assert table(plan([], (), [], OURS)) == "0 unchanged"
