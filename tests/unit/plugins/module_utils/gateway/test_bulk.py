"""Imports into a server as it is documented: one request, read back."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    CoreError,
    Impossible,
    NotConverged,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Route
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials, Failed

from tests.support.marchproxy.client import (
    METADATA,
    PASSWORD,
    USER,
    connect,
    import_in_child,
    import_to,
    killing,
    real_server,
    service,
)
from tests.support.marchproxy.documented import DocumentedServer
from tests.support.marchproxy.naive import naive_server
from tests.support.marchproxy.serving import Answer, served

SERVICES = [service("a", auth_type="jwt"), service("b", protocol="grpc")]
ROUTES = [Route("route", ("external",), ("a",), 443)]
DOCUMENT = {
    "services": [one.exported() for one in SERVICES],
    "mappings": [one.exported() for one in ROUTES],
    "metadata": METADATA,
}
IMPORT, LIST = "POST /services/import", "GET /services"


@pytest.fixture
def server():
    with served(DocumentedServer()) as server:
        yield server


def test_all_is_imported_at_once_and_read_back(server):
    """Grpc goes as it is, mappings go, and no cluster_id, for which the document has no field."""
    report = import_to(server, SERVICES, ROUTES, cluster_id=7)
    assert [(request.line, request.body) for request in server.writes] == [(IMPORT, DOCUMENT)]
    assert (report.verified, report.failures) == (True, [])
    assert report.plan.results["created"] == ["a", "b"]
    assert (list(server.mappings), server.metadata) == (["route"], METADATA)


def test_an_import_without_mappings_does_not_name_them(server):
    """As the specification's generator: an empty list would take away those that are there."""
    server.mappings = {"route": {}}
    import_to(server, SERVICES)
    assert "mappings" not in server.writes[0].body


@pytest.mark.parametrize("wish", [{"cluster_id": 7}, {"cluster": "production"}])
def test_a_cluster_that_the_import_has_no_field_for_is_said(server, wish):
    said = "this import has no field for the cluster that is named; the key decides"
    assert said in import_to(server, SERVICES, check=True, **wish).warnings
    assert said in import_to(server, SERVICES, **wish).warnings
    assert said not in import_to(server, SERVICES).warnings


def test_a_cluster_that_the_import_has_a_field_for_is_sent(server):
    handle = server.handle
    described = Answer(200, {"paths": {"/api/v1/services/import": {"post": {"schema": {"cluster_id": {}}}}}})
    server.handle = lambda request: described if "openapi" in request.path else handle(request)
    assert import_to(server, SERVICES, cluster_id=7).warnings == []
    assert server.writes[0].body["cluster_id"] == 7
    assert import_to(server, SERVICES, cluster="production").warnings


def test_a_second_import_writes_nothing(server):
    import_to(server, SERVICES)
    server.forget()
    report = import_to(server, SERVICES)
    assert server.lines == ["GET /api/openapi.json", LIST]
    assert (report.plan.writes, report.plan.results["unchanged"]) == ([], ["a", "b"])


def test_mappings_that_cannot_be_read_are_known_by_a_receipt(server, tmp_path):
    receipt = tmp_path / "receipt"
    for _time in range(2):
        import_to(server, SERVICES, ROUTES, receipt=str(receipt))
    assert len(server.writes) == 1
    assert receipt.stat().st_mode & 0o777 == 0o600
    report = import_to(server, SERVICES, [*ROUTES, Route("other", ("external",), ("b",), 444)], receipt=str(receipt))
    assert report.plan.results["updated"] == ["route", "other"]
    assert len(server.writes) == 2
    import_to(server, SERVICES, ROUTES)  # without one they are sent each time
    import_to(server, SERVICES, ROUTES)
    assert len(server.writes) == 4


def test_drift_is_imported_again_whatever_the_receipt_says(server, tmp_path):
    receipt = str(tmp_path / "receipt")
    import_to(server, SERVICES, ROUTES, receipt=receipt)
    server.services[1]["port"] = 1
    report = import_to(server, SERVICES, ROUTES, receipt=receipt)
    assert report.plan.results["updated"] == ["a"]
    assert server.services[1]["port"] == 8080


def test_a_server_that_lists_nothing_is_not_verified(server, tmp_path):
    server.lists = False
    receipt = str(tmp_path / "receipt")
    report = import_to(server, SERVICES, ROUTES, receipt=receipt, backup=str(tmp_path / "backup"))
    assert report.verified is False
    assert (
        f"the server does not list services, so {tmp_path}/backup cannot say what was there before" in report.warnings
    )
    assert "the server accepted the import and does not list services, so it is not verified" in report.warnings
    assert import_to(server, SERVICES, ROUTES, receipt=receipt).plan.writes == []
    with pytest.raises(Impossible, match=r"does not list its services .*, so none can be removed"):
        import_to(server, SERVICES, settings={"state": "absent"})


def test_a_server_that_loses_a_field_is_found_out(server):
    handle = server.handle

    def lose(request):
        answer = handle(request)
        for row in server.services.values():
            row["port"] = 1
        return answer

    server.handle = lose
    with pytest.raises(NotConverged, match=r"lists something else; left are: update a \(port\)"):
        import_to(server, SERVICES)


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_loses_the_collection_is_found_out(server, known):
    """What it lists is nobody's then, and would be a conflict of the next run."""
    if known:  # one that was in conflict before is none that the import brought about
        server.services[1] = {"id": 1, **service("a", collection="other").exported()}
    server.drops = {"collection"}
    left = r"left are: conflict b \(the server does not keep or list its collection\)$"
    with pytest.raises(NotConverged, match=left if known else r"conflict a \(.*; conflict b \("):
        import_to(server, SERVICES)


def test_a_server_that_doubles_a_name_is_found_out(server):
    handle = server.handle

    def double(request):
        answer = handle(request)
        if request.line == IMPORT:
            server.services[9] = {**server.services[1], "id": 9}
        return answer

    server.handle = double
    with pytest.raises(NotConverged, match=r"left are: conflict a \(the server has 2 of that name \(1, 9\)"):
        import_to(server, SERVICES)


def test_a_wrong_key_fails_and_leads_to_nothing_else(server):
    session = connect(server, Credentials(cluster_key="wrong", username="admin", password="a good password"))
    with pytest.raises(Failed, match="POST /api/v1/services/import: 401 Invalid API key"):
        import_to(server, SERVICES, session=session)
    assert [request.line for request in server.writes] == [IMPORT]
    assert server.services == {}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_revoked_is_found_out_whatever_the_receipt_says(server, tmp_path, status):
    server.lists = False
    receipt = str(tmp_path / "receipt")
    import_to(server, SERVICES, ROUTES, receipt=receipt)
    server.handle = lambda request: Answer(status)
    session = connect(server, Credentials(cluster_key="k"))
    with pytest.raises(Failed, match=f"POST /api/v1/services/import: {status}"):
        import_to(server, SERVICES, ROUTES, session=session, receipt=receipt, mode="bulk")


def test_check_mode_says_what_only_the_import_tells(server):
    session = connect(server, Credentials(cluster_key="wrong"))
    assert import_to(server, SERVICES, session=session, check=True).warnings == [
        "the server refuses cluster_key for its list (401); only the import tells whether it takes it"
    ]
    server.lists = False
    assert import_to(server, SERVICES, check=True).warnings == [
        "the server does not list its services, so only the import tells what it takes"
    ]


def test_nothing_is_removed_with_a_key_that_is_refused(server):
    session = connect(server, Credentials(cluster_key="wrong"))
    with pytest.raises(Impossible, match=r"does not list its services to the holder of cluster_key \(401\), so none"):
        import_to(server, SERVICES, session=session, settings={"state": "absent"})


def test_no_key_is_said(server):
    with pytest.raises(Refused, match="takes whole imports, for which cluster_key is required"):
        import_to(server, SERVICES, session=connect(server, Credentials(token="t")))
    assert server.writes == []


def answering(server, status):
    """Let the server carry out imports, and answer otherwise than it does."""
    handle = server.handle

    def answer(request):
        carried_out = handle(request)
        return Answer(status) if request.line == IMPORT else carried_out

    server.handle = answer


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_import_that_is_accepted_is_kept_in_the_receipt(server, tmp_path, status):
    """As scripts/marchproxy-import.sh takes these for success."""
    answering(server, status)
    server.lists = False
    for _time in range(2):
        import_to(server, SERVICES, ROUTES, receipt=str(tmp_path / "receipt"))
    assert len(server.writes) == 1


def test_a_part_that_nobody_can_name_is_a_failure(server, tmp_path):
    """As it is for scripts/marchproxy-import.sh."""
    answering(server, 207)
    server.lists = False
    with pytest.raises(Failed, match=r"the server took a part .*: 207"):
        import_to(server, SERVICES, receipt=str(tmp_path / "receipt"))
    assert not (tmp_path / "receipt").exists()


def test_a_part_that_is_all_the_list_wants_is_sealed_by_no_receipt(server, tmp_path):
    """Whether the mappings are there, it does not say: the next run sends them again."""
    receipt = tmp_path / "receipt"
    import_to(server, SERVICES, ROUTES, receipt=str(receipt))
    assert receipt.exists()
    server.services[1]["port"] = 1
    answering(server, 207)
    assert import_to(server, SERVICES, ROUTES, receipt=str(receipt)).verified
    assert not receipt.exists()


@pytest.mark.parametrize("status", [403, 409, 413, 422, 307])
def test_an_import_that_is_refused(server, status):
    handle = server.handle
    server.handle = lambda request: Answer(status, {"detail": "no"}) if request.line == IMPORT else handle(request)
    with pytest.raises(Failed, match=f"POST /api/v1/services/import: {status}"):
        import_to(server, SERVICES)
    assert len(server.writes) == 1


@pytest.mark.parametrize(
    ("fault", "mappings", "sent"),
    [
        ("before", [], 2),
        ("fail", [], 2),
        ("after", [], 1),
        ("fail after", [], 1),
        ("after", ROUTES, 2),  # whether these are there, no list says
        ("fail after", ROUTES, 2),
    ],
)
def test_an_import_whose_answer_is_lost_is_sent_again_for_what_is_missing(server, fault, mappings, sent):
    """3a: the document does not say that it may be repeated."""
    server.fault = lambda number, request: fault if request.line == IMPORT and len(server.writes) == 1 else None
    assert import_to(server, SERVICES, mappings).verified
    assert [request.line for request in server.writes] == [IMPORT] * sent
    assert len(server.services) == 2
    assert list(server.mappings) == [route.name for route in mappings]


def test_what_is_to_be_removed_after_an_import_whose_answer_is_lost_is_no_reason_to_send_it_again(server):
    import_to(server, [service("old")])
    server.forget()
    handle = server.handle

    def delete(request):
        if request.method == "DELETE":
            return Answer(200 if server.services.pop(1) else 404)
        return handle(request)

    server.handle = delete
    server.fault = lambda number, request: "fail after" if request.line == IMPORT else None
    assert import_to(server, SERVICES, settings={"prune": True}).verified
    assert [request.line for request in server.writes] == [IMPORT, "DELETE /services/1"]


@pytest.mark.parametrize("fault", ["after", "fail after"])
def test_an_import_whose_answer_is_lost_is_sent_again_where_no_list_says_what_came(server, fault):
    server.lists = False
    server.fault = lambda number, request: fault if request.line == IMPORT and len(server.writes) == 1 else None
    assert import_to(server, SERVICES).verified is False
    assert len(server.writes) == 2


def test_an_import_that_fails_twice_is_an_error(server):
    server.fault = lambda number, request: "fail" if request.line == IMPORT else None
    with pytest.raises(Failed, match="POST /api/v1/services/import: 500"):
        import_to(server, SERVICES)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", range(1, 5))
def test_a_run_that_was_killed_is_completed_by_the_next(server, moment, when):
    server.fault = killing(server, moment, when)
    assert import_in_child(server, lambda: import_to(server, SERVICES)) == -9
    server.fault = lambda number, request: None
    assert import_to(server, SERVICES).failures == []
    assert import_to(server, SERVICES).plan.writes == []
    assert sorted(row["name"] for row in server.services.values()) == ["a", "b"]


def test_check_mode_sends_nothing(server):
    report = import_to(server, SERVICES, ROUTES, check=True)
    assert report.plan.results["created"] == ["a", "b"]
    assert server.writes == []


def test_a_name_of_somebody_else_is_left_out(server):
    server.services[1] = {"id": 1, **service("a", collection="other").exported()}
    before = dict(server.services[1])
    report = import_to(server, SERVICES)
    assert report.plan.results["conflict"] == ["a"]
    assert report.failures
    assert server.services[1] == before


def test_a_drain_is_unsupported(server):
    import_to(server, SERVICES)
    server.forget()
    report = import_to(server, SERVICES[:1], settings={"state": "drained"})
    assert report.plan.results["unsupported"] == ["a"]
    assert server.writes == []


@pytest.mark.parametrize("status", [204, 404])
def test_services_are_removed_one_by_one(server, status):
    import_to(server, SERVICES)
    handle = server.handle

    def delete(request):
        if request.method == "DELETE":
            del server.services[int(request.path.rpartition("/")[2])]
            return Answer(status)
        return handle(request)

    server.handle = delete
    report = import_to(server, SERVICES[:1], settings={"prune": True})
    assert report.plan.results["deleted"] == ["b"]
    assert [row["name"] for row in server.services.values()] == ["a"]


@pytest.mark.parametrize(("user", "questions"), [({}, []), ({"username": USER, "password": PASSWORD}, [{}])])
def test_a_server_that_knows_nothing_but_the_import_gets_it_once(user, questions):
    """It parses a body before it looks at the key, and answers 501 to any GET."""
    with naive_server("k") as server:
        session = connect(server, Credentials(cluster_key="k", **user))
        report = import_to(server, SERVICES, ROUTES, session=session)
        assert (report.verified, report.failures) == (False, [])
        assert server.posts == [*questions, DOCUMENT]
        assert sorted(server.services) == ["a", "b"]


def test_the_holder_of_a_key_sends_nothing_in_check_mode():
    with naive_server("k") as server:
        session = connect(server, Credentials(cluster_key="k"))
        assert import_to(server, SERVICES, session=session, check=True).plan.results["created"] == ["a", "b"]
        assert server.posts == []


def test_the_holder_of_a_key_alone_is_told_that_there_is_no_import():
    with served(real_server()) as server:
        server.openapi = False
        with pytest.raises(Failed, match=r"POST /api/v1/services/import, which this server does not have .*: 405"):
            import_to(server, SERVICES, session=connect(server, Credentials(cluster_key=server.clusters[1].key)))
        assert server.services == {}


@pytest.mark.parametrize(
    ("credentials", "fault"),
    [
        (Credentials(cluster_key="k"), "this server wants a user for single services"),
        (Credentials(token="somebody's"), r"GET /api/v1/clusters\?.*: 404 Not Found"),
    ],
)
def test_single_requests_are_not_for_a_server_that_is_only_documented(server, credentials, fault):
    """As the module's mode says: it has neither users nor clusters."""
    with pytest.raises(CoreError, match=fault):
        import_to(server, SERVICES, session=connect(server, credentials), mode="crud")
    assert server.writes == []
