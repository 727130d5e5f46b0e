"""How services get to a server, and to which of its clusters."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, Impossible, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.http import Unanswered
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.server import Ability, chosen_cluster, detect
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials, Failed

from tests.support.marchproxy.client import PASSWORD, USER, connect, real_server
from tests.support.marchproxy.documented import DocumentedServer
from tests.support.marchproxy.serving import Answer, served

BULK, CRUD = Ability("bulk", mappings=True), Ability("crud")
WITH_CLUSTER = Ability("bulk", mappings=True, cluster_id=True)
OPENAPI, LIST, PROBE = "GET /api/openapi.json", "GET /services", "POST /services/import"
BOTH = Credentials(cluster_key="k", username=USER, password=PASSWORD)


@pytest.fixture
def server():
    with served(real_server()) as server:
        yield server


def detected(server, mode="auto", credentials=None):
    session = connect(server, credentials)
    return detect(session.http, session, mode)


@pytest.mark.parametrize(("make", "ability"), [(DocumentedServer, BULK), (real_server, CRUD)])
def test_a_server_is_known_by_what_it_says(make, ability):
    with served(make()) as server:
        assert detected(server) == ability
        assert server.lines == [OPENAPI]


def test_a_documented_server_is_known_by_its_list():
    """Which the real one does not give to the holder of a cluster's key."""
    with served(DocumentedServer()) as server:
        server.openapi = False
        assert detected(server) == BULK
        assert server.lines == [OPENAPI, LIST]


@pytest.mark.parametrize("credentials", [None, BOTH])
def test_the_real_server_is_known_by_how_it_refuses(server, credentials):
    """0.1, 1: 405 without POST in Allow; the question is nobody's, and an object all the same."""
    server.openapi = False
    assert detected(server, credentials=credentials) == CRUD
    assert server.lines == [OPENAPI, *([LIST] if credentials else []), PROBE]
    assert server.log[-1].body == {}
    assert "Authorization" not in server.log[-1].headers


def test_who_has_a_key_alone_is_not_asked_about(server):
    """Single requests are a user's, so that nothing but the import is left to him."""
    server.openapi = False
    assert detected(server, credentials=Credentials(cluster_key="k")) == BULK
    assert server.lines == [OPENAPI]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Answer(404), CRUD),
        (Answer(501), CRUD),
        (Answer(405, None, {"Allow": "GET"}), CRUD),
        (Answer(405), CRUD),
        (Answer(405, None, {"Allow": "GET, post"}), BULK),
        (Answer(200), BULK),
        (Answer(401), BULK),
        (Answer(403), BULK),
        (Answer(409), BULK),
        (Answer(422), BULK),
        (Answer(307, None, {"Location": "/x"}), "307 redirections are not followed"),
        (Answer(500), BULK),
        (Answer(503), BULK),
    ],
)
def test_how_an_import_of_nothing_is_refused(server, answer, found):
    """Only what a server without an import says leads to single requests; all else is for the import with the key."""
    server.handle = lambda request: answer if request.method == "POST" else Answer(404)
    if isinstance(found, str):
        with pytest.raises(Failed, match=found):
            detected(server, credentials=BOTH)
    else:
        assert detected(server, credentials=BOTH) == found


@pytest.mark.parametrize("status", [500, 503])
def test_a_fault_is_said_where_no_key_could_go_on(server, status):
    server.handle = lambda request: Answer(status if request.method == "POST" else 404)
    with pytest.raises(Failed, match=f"POST /api/v1/services/import: {status}"):
        detected(server)


@pytest.mark.parametrize("moment", [1, 2])
def test_no_answer_leads_to_nothing(server, moment):
    server.openapi = False
    server.fault = lambda number, request: "before" if number == moment else None
    with pytest.raises(Unanswered):
        detected(server)
    assert len(server.log) == moment


def test_a_server_without_get_describes_nothing(server):
    """That is what http.server answers to a method that it does not have."""
    server.handle = lambda request: Answer(501 if request.method == "GET" else 405)
    assert detected(server) == CRUD


def test_an_error_of_the_description_leads_to_nothing(server):
    server.fault = lambda number, request: "fail"
    with pytest.raises(Failed, match=r"GET /api/openapi.json: 500"):
        detected(server)


@pytest.mark.parametrize(
    ("paths", "ability"),
    [
        ({"/api/v1/services/import": {"post": {"$ref": "#/components/schemas/Import"}}}, WITH_CLUSTER),
        ({"/api/v1/services/{id}": {"put": {}, "delete": {}}}, Ability("crud", "PUT")),
        ({"/api/v1/services/{id}": {"put": {}, "patch": {}}}, Ability("crud", "PATCH")),
        ({"/api/v1/services/import": {"post": {}}, "/api/v1/services/{id}": {"patch": {}}}, BULK),
        ({"/api/v1/services/import": {"post": {"schema": {"cluster_id": {}}}}}, WITH_CLUSTER),
    ],
)
def test_what_a_server_says_of_itself(server, paths, ability):
    components = {"schemas": {"Import": {"required": ["cluster_id"]}}}
    server.handle = lambda request: Answer(200, {"paths": paths, "components": components})
    assert detected(server) == ability


@pytest.mark.parametrize(("mode", "ability"), [("bulk", BULK), ("crud", CRUD)])
def test_the_operator_may_say_which(server, mode, ability):
    assert detected(server, mode) == ability
    assert server.lines == [OPENAPI]


def test_the_only_active_cluster_is_the_one(server):
    server.add_cluster("old", is_active=False)
    assert chosen_cluster(connect(server)) == 1


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        (
            {},
            "2 active clusters could be meant: name one by cluster_id; this user sees: 1 .default., 2 .second., 3 .old",
        ),
        ({"cluster_id": 2}, 2),
        ({"name": "second"}, 2),
        ({"name": "second", "cluster_id": 2}, 2),
        ({"name": "second", "cluster_id": 1}, "cluster 1 and second is none that this user sees"),
        ({"cluster_id": 9}, "cluster 9 is none that this user sees"),
        ({"cluster_id": 3}, "cluster 3 is inactive, so nothing would come of its services"),
        ({"name": "old"}, "cluster old is inactive"),
    ],
)
def test_the_cluster_that_is_meant(server, wish, found):
    """2: the server would take services for an inactive one; 3.2: none is ever made."""
    server.add_cluster("second")
    server.add_cluster("old", is_active=False)
    if isinstance(found, str):
        with pytest.raises((Impossible, Refused), match=found):
            chosen_cluster(connect(server), **wish)
    else:
        assert chosen_cluster(connect(server), **wish) == found
    assert server.writes == []


def test_a_user_without_clusters(server):
    """3.3: sees only those assigned to him."""
    server.tokens.add("other", PASSWORD)
    with pytest.raises(Refused, match=r"0 active clusters could be meant: .* this user sees: none"):
        chosen_cluster(connect(server, Credentials(username="other", password=PASSWORD)))


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (lambda server: server.clusters[1].key, None),
        (lambda server: server.clusters[2].key, "cluster_key is the key of another cluster than 1: 403"),
        (lambda server: "wrong", "401 Invalid cluster API key"),
    ],
)
def test_a_key_is_that_of_the_cluster(server, key, fault):
    """0.2, 1, 3.2: read with its own header; never rotated."""
    server.add_cluster("second")
    session = connect(server, Credentials(cluster_key=key(server), username=USER, password=PASSWORD))
    if fault:
        with pytest.raises(CoreError, match=fault):
            chosen_cluster(session, 1)
    else:
        assert chosen_cluster(session, 1) == 1
    assert server.lines[-1] == "GET /config/version/1"
    assert "Authorization" not in server.log[-1].headers
