"""Imports into the server as it is: the smallest requests, and nothing of anybody else's."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Route
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials

from tests.support.marchproxy.client import APP, PASSWORD, USER, connect, import_to, real_server, service, stored
from tests.support.marchproxy.serving import Answer, served

# Who asks and how; no request but these and the list goes out while nothing differs.
READS = ["GET /api/openapi.json", "POST /auth/login", "GET /clusters", "GET /services"]
ROUTE = Route("route", ("external",), ("a",), 443)


@pytest.fixture
def server():
    with served(real_server()) as server:
        yield server


def writes(server):
    return [(request.line, request.body) for request in server.writes]


def with_key(server):
    return connect(server, Credentials(server.clusters[1].key, username=USER, password=PASSWORD))


def test_a_first_import_creates_and_a_second_one_only_reads(server):
    """0.3, 1: POST with all ten fields and cluster_id, 201."""
    services = [service("a", auth_type="jwt"), service("b", health_check_path=None, health_check_enabled=False)]
    report = import_to(server, services)
    assert report.plan.results["created"] == ["a", "b"]
    assert (report.verified, report.failures) == (True, [])
    assert writes(server) == [("POST /services", {**one.exported(), "cluster_id": 1}) for one in services]
    assert server.lines == [*READS, "POST /services", "POST /services", "GET /services"]
    assert report.requests == 7
    assert server.most_at_once == 1
    server.forget()
    report = import_to(server, services)
    assert report.plan.results["unchanged"] == ["a", "b"]
    assert (report.plan.writes, report.verified) == ([], None)
    assert server.lines == READS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ip_fqdn", "other.example.net"),
        ("port", 81),
        ("protocol", "tcp"),
        ("auth_type", "base64"),
        ("tls_enabled", True),
        ("health_check_enabled", False),
        ("health_check_path", None),
        ("health_check_path", "/other"),
        ("health_check_interval", 60),
    ],
)
def test_drift_is_repaired_by_the_smallest_change(server, field, value):
    """1, 2: PATCH with the field that differs and no other."""
    server.add(**stored(service("a"), **{field: value}))
    report = import_to(server, [service("a")])
    assert writes(server) == [("PATCH /services/1", {field: getattr(service("a"), field)})]
    assert report.plan.results["updated"] == ["a"]
    assert import_to(server, [service("a")]).plan.writes == []


def test_tls_verify_is_compared_only_where_it_is_said(server):
    server.add(**stored(service("a"), tls_verify=False))
    assert import_to(server, [service("a")]).plan.writes == []
    import_to(server, [service("a", tls_verify=True)])
    assert writes(server) == [("PATCH /services/1", {"tls_verify": True})]


def test_what_was_deleted_softly_is_revived(server):
    """2: its name can come back in no other way."""
    server.add(**stored(service("a"), is_active=False, port=1))
    report = import_to(server, [service("a")])
    assert writes(server) == [("PATCH /services/1", {"port": 8080, "is_active": True})]
    assert report.plan.results["revived"] == ["a"]


def test_a_secret_that_is_missing_is_made_once(server):
    """2: PATCH auth_type makes none; 1: rotate-token does. Never otherwise."""
    server.add(**stored(service("a")))
    import_to(server, [service("a", auth_type="jwt")])
    assert writes(server) == [
        ("PATCH /services/1", {"auth_type": "jwt"}),
        ("POST /services/1/rotate-token", {"auth_type": "jwt"}),
    ]
    secret = server.services[1].jwt_secret
    assert secret
    server.services[1].port = 1
    import_to(server, [service("a", auth_type="jwt")])
    assert server.services[1].jwt_secret == secret


@pytest.mark.parametrize("fields", [{"collection": "other"}, {"collection": None}, {"cluster_id": 2}])
def test_a_name_of_somebody_else_is_a_conflict_and_not_touched(server, fields):
    """2: names are of all clusters and collections."""
    server.add_cluster("second")
    server.add(**stored(service("a"), **{"port": 1, **fields}))
    before = copy.deepcopy(server.services[1])
    report = import_to(server, [service("a"), service("b")], cluster_id=1)
    assert report.plan.results["conflict"] == ["a"]
    assert report.plan.results["created"] == ["b"]
    (failure,) = report.failures
    assert "a: the name is taken by" in failure
    assert server.services[1] == before


def test_a_name_of_somebody_who_cannot_be_seen_is_a_conflict(server):
    """3.3: 400, and in no list."""
    server.add(**stored(service("a"), collection="other"))
    server.tokens.add("other", PASSWORD, clusters={1})
    session = connect(server, Credentials(username="other", password=PASSWORD))
    report = import_to(server, [service("a"), service("b")], session=session)
    assert report.plan.results["conflict"] == ["a"]
    assert report.plan.results["created"] == ["b"]
    assert report.failures == [
        "a: create: 400 Service with name 'a' already exists, and it is one that this user cannot see: choose another "
        "app name"
    ]


def test_no_access_to_the_cluster_is_said(server):
    """3.3: 403 for somebody whom nobody assigned to it, once its assignment ends between two requests."""
    server.tokens.add("other", PASSWORD, clusters={1})
    server.between = lambda: None
    session = connect(server, Credentials(username="other", password=PASSWORD))

    def fault(number, request):
        if request.method == "POST" and request.path.endswith("/services"):
            server.tokens.users[1].clusters.clear()

    server.fault = fault
    report = import_to(server, [service("a")], session=session)
    assert report.failures == ["a: create: 403 No access to this cluster"]


def test_removal_is_soft_and_only_of_ours(server):
    """1, 2: DELETE without permanent."""
    server.add(**stored(service("a")))
    server.add(**stored(service("b"), collection="other"))
    report = import_to(server, [service("a"), service("b"), service("c")], settings={"state": "absent"})
    assert [(request.line, request.query) for request in server.writes] == [("DELETE /services/1", {})]
    assert report.plan.results["deleted"] == ["a"]
    assert not server.services[1].is_active
    server.forget()
    assert import_to(server, [service("a")], settings={"state": "absent"}).plan.writes == []


def test_pruning_is_opted_in(server):
    server.add_cluster("second")
    for name, fields in (("a", {}), ("old", {}), ("far", {"cluster_id": 2}), ("their", {"collection": "other"})):
        server.add(**stored(service(name), **fields))
    report = import_to(server, [service("a")], cluster_id=1)
    assert report.plan.writes == []
    assert report.warnings == [
        "services of collection app that are not described stay as they are (prune removes them): old"
    ]
    report = import_to(server, [service("a")], cluster_id=1, settings={"prune": True})
    assert report.plan.results["deleted"] == ["old"]
    assert [row.name for row in server.services.values() if not row.is_active] == ["old"]


def test_a_drained_service_gets_no_traffic_and_comes_back(server):
    """2: is_active, which PATCH takes."""
    services = [service("a", auth_type="jwt"), service("b")]
    import_to(server, services)
    before = {name: server.named(name).shown() for name in ("a", "b")}
    server.forget()
    report = import_to(server, services[:1], settings={"state": "drained"})
    assert writes(server) == [("PATCH /services/1", {"is_active": False})]
    assert report.plan.results["updated"] == ["a"]
    server.forget()
    import_to(server, services)
    assert writes(server) == [("PATCH /services/1", {"is_active": True})]
    for name, row in before.items():
        assert {**server.named(name).shown(), "updated_at": 0} == {**row, "updated_at": 0}


@pytest.mark.parametrize(
    ("policy", "protocol", "path"), [("tcp", "tcp", "/grpc.health.v1.Health/Check"), ("http", "http", None)]
)
def test_grpc_is_sent_as_something_that_the_server_takes(server, policy, protocol, path):
    """0.3, 2: grpc is 422 on create and poison on a change, so it is never sent."""
    grpc = service("a", protocol="grpc", health_check_path="/grpc.health.v1.Health/Check")
    report = import_to(server, [grpc], settings={"grpc": policy})
    assert (server.services[1].protocol, server.services[1].health_check_path) == (protocol, path)
    assert f"a: the server takes no grpc, so it is sent as {policy}" in report.warnings
    server.forget()
    assert import_to(server, [grpc], settings={"grpc": policy}).plan.writes == []
    assert "grpc" not in [request.body.get("protocol") for request in server.log if isinstance(request.body, dict)]


def test_grpc_can_be_refused(server):
    with pytest.raises(Impossible, match="takes no service of protocol grpc"):
        import_to(server, [service("a", protocol="grpc")], settings={"grpc": "fail"})
    assert server.writes == []


def test_mappings_are_unsupported_and_said_to_be(server):
    """0.5: there is no way to make one."""
    report = import_to(server, [service("a")], [ROUTE])
    assert report.plan.results["unsupported"] == ["route"]
    assert report.failures == []
    assert any("route: the server has no way to import a mapping" in warning for warning in report.warnings)
    assert list(server.services) == [1]


@pytest.mark.parametrize(("mappings", "foreign", "why"), [([ROUTE], {}, "route: "), ([], {"collection": "x"}, "a: ")])
def test_strict_writes_nothing_where_anything_is_unsupported_or_in_conflict(server, mappings, foreign, why):
    if foreign:
        server.add(**stored(service("a"), **foreign))
    services = [service("a"), service("b")]
    with pytest.raises(Refused, match=f"nothing was written: {why}"):
        import_to(server, services, mappings, settings={"strict": True})
    assert server.writes == []
    assert import_to(server, services, mappings, settings={"strict": True}, check=True).failures


def test_our_poisoned_row_is_repaired(server):
    """0.4, 2: by PATCH of a legal value, found by the cluster's key, because the list is an error."""
    server.add(**stored(service("a"), protocol="grpc"))
    server.add(**stored(service("b")))
    report = import_to(server, [service("a"), service("b")], session=with_key(server))
    assert server.writes[0].line == "PATCH /services/1"
    assert server.writes[0].body["protocol"] == "http"
    assert report.plan.results["updated"] == ["a"]
    assert report.warnings == []
    assert not server.services[1].poisoned
    server.forget()
    assert import_to(server, [service("a"), service("b")]).plan.writes == []


def test_a_poisoned_row_of_another_is_named_and_left(server):
    """0.4: and does not keep ours from being imported."""
    server.add(**stored(service("their"), collection="other", auth_type="bad"))
    before = copy.deepcopy(server.services[1])
    report = import_to(server, [service("a")], session=with_key(server))
    assert report.plan.results["created"] == ["a"]
    assert "service their (id 1, collection other) holds an illegal value" in report.warnings[0]
    assert server.services[1] == before
    assert len(import_to(server, [service("a")]).warnings) == 1  # without the key, by its place


@pytest.mark.parametrize("state", ["absent", "drained"])
def test_our_poisoned_row_that_cannot_be_seen_does_not_pass_for_removed(server, state):
    """0.4: a row that no list shows may get traffic still; the cluster's key shows it, or that it gets none."""
    server.add(**stored(service("a"), protocol="grpc"))
    report = import_to(server, [service("a")], settings={"state": state})
    (failure,) = report.failures
    assert failure.startswith("a: it may be the row that the list cannot show")
    assert failure.endswith(": give cluster_key")
    assert server.writes == []
    for _again in range(2):
        report = import_to(server, [service("a")], session=with_key(server), settings={"state": state})
        assert (report.failures, server.services[1].is_active) == ([], False)
    server.services[1].protocol = "grpc"
    assert import_to(server, [service("a")], session=with_key(server), settings={"state": state}).failures == []


def test_what_stays_unseen_while_others_are_removed_is_said_at_the_end_too(server):
    server.add(**stored(service("a"), protocol="grpc"))
    server.add(**stored(service("b")))
    report = import_to(server, [service("a"), service("b")], settings={"state": "absent"})
    assert report.plan.results["deleted"] == ["b"]
    assert [failure.partition(":")[0] for failure in report.failures] == ["a"]


def test_a_name_that_is_taken_by_a_row_that_the_list_cannot_show_is_said_to_be(server):
    server.add(**stored(service("a"), protocol="grpc"))
    assert import_to(server, [service("a")]).failures == [
        "a: create: 400 Service with name 'a' already exists, and it may be the row that the list cannot show, because "
        "its value is illegal: give cluster_key"
    ]


def test_a_create_that_is_refused_for_another_reason_is_not_laid_to_a_name(server):
    handle = server.handle

    def refusing(request):
        return Answer(400, {"detail": "no more ports"}) if request.line == "POST /services" else handle(request)

    server.handle = refusing
    assert import_to(server, [service("a")]).failures == ["a: create: 400 no more ports"]


def test_an_inactive_cluster_gets_nothing(server):
    """2: the server would take it."""
    server.clusters[1].is_active = False
    with pytest.raises(Impossible, match="cluster 1 is inactive"):
        import_to(server, [service("a")], cluster_id=1)
    assert server.writes == []


def test_check_mode_writes_nothing_and_says_all(server, tmp_path):
    server.add(**stored(service("a"), port=1))
    server.add(**stored(service("old")))
    services = [service("a"), service("b")]
    planned = import_to(server, services, check=True, settings={"prune": True}, backup=str(tmp_path / "backup"))
    assert server.writes == []
    assert not list(tmp_path.iterdir())
    done = import_to(server, services, settings={"prune": True})
    assert planned.facts["summary"] == done.facts["summary"]
    assert planned.facts["diff"] == done.facts["diff"]
    assert (
        planned.facts["changes"]
        == done.facts["changes"]
        == ["a port: 1 -> 8080", "b: create", "old is_active: True -> False"]
    )
    assert planned.facts["diff"]["before"] == {"a": {"port": 1}, "old": {"is_active": True}}


def test_what_was_there_is_kept_without_secrets_and_restored(server, tmp_path):
    backup = tmp_path / "backup.json"
    services = [service("a", auth_type="jwt"), service("b"), service("gone")]
    import_to(server, services)
    import_to(server, [service("gone")], settings={"state": "absent"})
    before = {name: server.named(name).shown() for name in ("a", "b", "gone")}
    changed = [service("a", auth_type="jwt", port=1), service("gone"), service("new")]
    import_to(server, changed, settings={"prune": True}, backup=str(backup))
    assert backup.stat().st_mode & 0o777 == 0o600
    assert server.named("a").jwt_secret not in backup.read_text()
    kept = {one["name"]: one for one in json.loads(backup.read_text())["services"]}
    assert {name: one["is_active"] for name, one in kept.items()} == {"a": True, "b": True, "gone": False}
    report = import_to(server, [], restore=str(backup))
    assert report.plan.results["revived"] == ["b"]
    assert report.plan.results["deleted"] == ["new"]
    for name, row in before.items():
        assert {**server.named(name).shown(), "updated_at": 0} == {**row, "updated_at": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["backup.json"]


def test_what_another_server_held_is_not_brought_here(server, tmp_path):
    """Of the same application and a cluster of the same number, as staging's and production's are."""
    backup = str(tmp_path / "backup.json")
    with served(real_server()) as staging:
        import_to(staging, [service("a")], backup=backup)
    import_to(server, [service("a"), service("b")])
    server.forget()
    with pytest.raises(Invalid, match="rollback file is of server"):
        import_to(server, [], restore=backup)
    assert server.log == []


def test_nothing_is_kept_where_nothing_is_written(server, tmp_path):
    import_to(server, [service("a")])
    import_to(server, [service("a")], backup=str(tmp_path / "backup.json"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "fault"),
    [(None, "is not there"), ("{", "is not JSON"), ("{}", "rollback file: ")],
)
def test_a_file_to_restore_that_is_none(server, tmp_path, text, fault):
    path = tmp_path / "backup.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Invalid, match=fault):
        import_to(server, [], restore=str(path))
    assert server.log == []


def test_a_service_of_another_collection_is_refused_before_anything(server):
    with pytest.raises(Invalid, match=r"a: collection other is not app.*b: collection third is not app"):
        import_to(
            server, [service("a", collection="other"), service("b", collection="third"), service("c", collection=None)]
        )
    assert server.log == []


def test_a_service_without_collection_is_of_the_application(server):
    import_to(server, [service("a", collection=None)])
    assert server.services[1].collection == APP


def test_a_server_whose_verb_is_put_gets_all_fields(server):
    """1: the document's."""
    handle = server.handle

    def put(request):
        if request.method == "PUT":
            request.method = "PATCH"
        answer = handle(request)
        if request.path == "/api/openapi.json":
            paths = {path: {**methods} for path, methods in answer.body["paths"].items()}
            paths["/api/v1/services/{service_id}"] = {"put": {}}
            answer.body = {"paths": paths}
        return answer

    server.handle = put
    server.add(**stored(service("a"), port=1))
    import_to(server, [service("a")])
    assert server.writes[0].body == {**service("a").exported(), "is_active": True}
