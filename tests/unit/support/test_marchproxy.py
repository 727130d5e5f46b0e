"""The mock of MarchProxy's API server answers as that one was seen to; numbers are sections of the research on it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.marchproxy.client import PASSWORD, USER, real_server
from tests.support.marchproxy.documented import DocumentedServer
from tests.support.marchproxy.serving import Clock, served

SERVICE = {
    "name": "x",
    "ip_fqdn": "h.example.net",
    "port": 80,
    "protocol": "http",
    "collection": "app",
    "auth_type": "none",
    "tls_enabled": False,
    "health_check_enabled": True,
    "health_check_path": "/healthz",
    "health_check_interval": 30,
    "cluster_id": 1,
}
API = "/api/v1"


class Caller:
    """Somebody who asks a server."""

    def __init__(self, server):
        self.server = server
        self.token = server.tokens.issue(server.tokens.users[0])["access_token"]

    def __call__(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"), timeout=10)
        headers = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        content = None if body is None else json.dumps(body)
        connection.request(method, path if path.startswith("/api/") else API + path, content, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.headers = dict(answer.getheaders())
        self.text = text.decode()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else None


@pytest.fixture
def server():
    with served(real_server(clock=Clock())) as server:
        yield server


@pytest.fixture
def ask(server):
    return Caller(server)


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": "Bearer wrong"}])
def test_the_documented_import_is_405_before_anybody_is_known(ask, headers):
    """0.1, 1: Allow names GET, whoever asks."""
    assert ask("POST", "/services/import", {"services": []}, headers)[0] == 405
    assert ask.headers["Allow"] == "GET"
    assert ask("PUT", "/services/1", SERVICE, headers)[0] == 405


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/services/import", 422),
        ("GET", "/mappings", 404),
        ("POST", "/mappings", 404),
        ("POST", "/mappings/import", 404),
        ("POST", "/import", 404),
        ("POST", "/config/1", 405),
        ("PUT", "/config/1", 405),
        ("GET", "/status", 404),
        ("GET", "/health", 404),
        ("GET", "/services/", 307),
        ("GET", "/api/openapi.json", 200),
        ("GET", "/services/77", 404),
    ],
)
def test_what_is_not_there(ask, method, path, status):
    """0.5, 1: no mappings, no import, no status; a trailing slash is redirected."""
    assert ask(method, path, {} if method != "GET" else None)[0] == status


def test_who_may_ask(server, ask):
    """0.2, 1, 3.1, 3.6: a header that is missing is 403, a bad token or a cluster's key 401."""
    assert ask("POST", "/services", SERVICE, {}) == (403, {"detail": "Not authenticated"})
    for bad in ("wrong", server.clusters[1].key):
        assert ask("POST", "/services", SERVICE, {"Authorization": f"Bearer {bad}"})[0] == 401
    assert ask("GET", "/services/1", None, {})[0] == 403


def test_a_service_is_created_with_all_its_secrets_in_the_answer(ask):
    """0.3, 1, 2: cluster_id is required, unknown fields are dropped, secrets come in clear."""
    status, row = ask("POST", "/services", {**SERVICE, "auth_type": "jwt", "description": "d", "id": 77})
    assert (status, row["id"], "description" in row, row["tls_verify"]) == (201, 1, False, True)
    assert row["jwt_secret"]
    assert row["token_base64"] is None
    assert ask("GET", "/services")[1]["services"][0]["jwt_secret"] == row["jwt_secret"]
    assert ask("POST", "/services", SERVICE)[0] == 400
    assert ask("POST", "/services", {**SERVICE, "name": "y", "cluster_id": 9})[0] == 404
    assert ask("POST", "/services", {key: value for key, value in SERVICE.items() if key != "cluster_id"})[0] == 422


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("name", "", 422),
        ("name", "n" * 101, 422),
        ("name", "a / b\nc", 201),
        ("name", "a\0b", 500),
        ("ip_fqdn", "", 422),
        ("ip_fqdn", "h" * 256, 422),
        ("ip_fqdn", "not a host!", 201),
        ("port", 0, 422),
        ("port", 65536, 422),
        ("port", "8080", 201),
        ("port", 80.0, 201),
        ("port", True, 201),
        ("protocol", "grpc", 422),
        ("protocol", "HTTP", 422),
        ("protocol", None, 422),
        ("collection", "c" * 101, 422),
        ("collection", None, 201),
        ("auth_type", "api_key", 422),
        ("tls_enabled", "yes", 201),
        ("tls_enabled", None, 422),
        ("health_check_path", None, 201),
        ("health_check_path", "/" * 256, 500),
        ("health_check_interval", 4, 422),
        ("health_check_interval", 2**31, 500),
        ("jwt_expiry", 299, 422),
        ("jwt_algorithm", "x" * 11, 500),
        ("is_active", False, 201),
    ],
)
def test_what_a_new_service_may_have(server, ask, field, value, status):
    """2: of POST."""
    assert ask("POST", "/services", {**SERVICE, field: value})[0] == status
    assert len(server.services) == (status == 201)
    assert all(row.is_active for row in server.services.values())


def test_defaults_of_a_new_service(ask):
    """2: other ones than the specification's generator has."""
    row = ask("POST", "/services", {key: SERVICE[key] for key in ("name", "ip_fqdn", "port", "cluster_id")})[1]
    assert (row["protocol"], row["health_check_enabled"], row["health_check_path"]) == ("tcp", False, None)


@pytest.mark.parametrize(
    ("field", "value", "status", "committed", "poison"),
    [
        ("protocol", "grpc", 500, True, True),
        ("protocol", None, 500, True, True),
        ("protocol", "p" * 11, 500, False, False),
        ("auth_type", "bad", 500, True, True),
        ("auth_type", "a" * 21, 500, False, False),
        ("tls_enabled", None, 500, True, True),
        ("tls_verify", None, 500, True, True),
        ("health_check_enabled", None, 500, True, True),
        ("is_active", None, 500, True, True),
        ("name", None, 500, False, False),
        ("name", "taken", 500, False, False),
        ("name", "n" * 101, 422, False, False),
        ("collection", "c" * 101, 500, False, False),
        ("health_check_path", "/" * 256, 500, False, False),
        ("health_check_interval", 4, 422, False, False),
        ("health_check_interval", 2**31, 500, False, False),
        ("port", 0, 422, False, False),
        ("port", 81, 200, True, False),
        ("cluster_id", 2, 200, False, False),
        ("description", "d", 200, False, False),
    ],
)
def test_what_a_change_does(server, ask, field, value, status, committed, poison):
    """0.4, 2: PATCH checks little, answers 500 and stores; then every list with the row is 500 for everybody."""
    row = server.add(**SERVICE)
    server.add(**{**SERVICE, "name": "taken"})
    before = dict(vars(row))
    assert ask("PATCH", "/services/1", {field: value})[0] == status
    changed = {key for key in before if vars(row)[key] != before[key]} - {"updated_at"}
    assert changed == ({field} if committed else set())
    assert row.poisoned is poison
    assert ask("GET", "/services?active_only=false")[0] == (500 if poison else 200)
    assert ask("GET", "/services/1")[0] == (500 if poison else 200)
    assert ask("GET", "/services?active_only=false&limit=1&skip=7")[0] == 200
    if poison:
        assert ask.server.clusters[1].key
        shown = ask("GET", "/config/1", None, {"Cluster-API-Key": server.clusters[1].key})[1]["services"]
        assert ("x" in [one["name"] for one in shown]) is bool(row.is_active)
        assert ask("PATCH", "/services/1", {field: before[field]})[0] == 200  # repaired
        assert ask("GET", "/services?active_only=false")[0] == 200


def test_a_name_is_taken_everywhere_and_for_good(server, ask):
    """2: in other clusters, and of what is deleted softly; 1: how it is deleted."""
    server.add_cluster("other")
    row = server.add(**SERVICE)
    assert ask("DELETE", "/services/1")[0] == 204
    assert ask("DELETE", "/services/1")[0] == 204
    assert ask("GET", "/services/1")[1]["is_active"] is False
    for cluster in (1, 2):
        assert ask("POST", "/services", {**SERVICE, "cluster_id": cluster})[0] == 400
    assert ask("PATCH", "/services/1", {"is_active": True})[0] == 200
    assert row.is_active
    assert ask("DELETE", "/services/1?permanent=true")[0] == 204
    assert ask("DELETE", "/services/1?permanent=true")[0] == 404


def test_of_two_that_create_one_name_at_once_one_gets_an_error(server, ask):
    """2: a unique violation that nobody handles."""
    together = threading.Barrier(2, timeout=5)
    server.between = together.wait
    with ThreadPoolExecutor(2) as pool:
        found = sorted(status for status, _body in pool.map(lambda _n: ask("POST", "/services", SERVICE), range(2)))
    assert found == [201, 500]
    assert len(server.services) == 1


def test_a_secret_is_made_when_it_is_asked_for(server, ask):
    """1, 2: PATCH to jwt makes none, rotate-token does and sets the type; going back leaves it."""
    row = server.add(**SERVICE)
    assert ask("PATCH", "/services/1", {"auth_type": "jwt"})[1]["jwt_secret"] is None
    assert ask("POST", "/services/1/rotate-token", {"auth_type": "none"})[0] == 422
    status, said = ask("POST", "/services/1/rotate-token", {"auth_type": "jwt"})
    assert (status, said["new_jwt_secret"], said["new_token"]) == (200, row.jwt_secret, None)
    assert ask("PATCH", "/services/1", {"auth_type": "none"})[1]["jwt_secret"] == row.jwt_secret


def test_logging_in(server, ask):
    """3.1: JSON, never a form; a token lives half an hour and says an hour; refresh tokens; people put out."""
    credentials = {"username": USER, "password": PASSWORD}
    status, said = ask("POST", "/auth/login", credentials, {})
    assert (status, said["expires_in"], said["requires_2fa"]) == (200, 3600, False)
    assert ask("POST", "/auth/login", {**credentials, "password": "wrong password"}, {})[0] == 401
    assert ask("POST", "/auth/login", "username=a&password=b", {})[0] == 422
    bearer = {"Authorization": f"Bearer {said['access_token']}"}
    server.clock.forward(1799)
    assert ask("GET", "/services", None, bearer)[0] == 200
    server.clock.forward(1)
    assert ask("GET", "/services", None, bearer)[0] == 401
    assert ask("POST", "/auth/refresh", {"refresh_token": said["refresh_token"]}, {})[0] == 200
    assert (
        ask("GET", "/services", None, {"Authorization": f"Bearer {said['refresh_token']}"})[0] == 200
    )  # a fault of it
    fresh = ask("POST", "/auth/login", credentials, {})[1]["access_token"]
    server.tokens.users[0].is_active = False
    assert ask("POST", "/auth/login", credentials, {})[0] == 403
    assert ask("GET", "/services", None, {"Authorization": f"Bearer {fresh}"})[0] == 404


def test_registration_is_open_and_the_first_is_the_administrator(server, ask):
    """3.1."""
    server.tokens.users.clear()
    for name, admin in (("first", True), ("second", False)):
        status, said = ask("POST", "/auth/register", {"username": name, "password": "12345678"}, {})
        assert (status, said["is_admin"]) == (201, admin)
    assert ask("POST", "/auth/register", {"username": "ab", "password": "1234567"}, {})[0] == 422


def test_a_second_factor_is_a_success_without_tokens(server, ask):
    """3.1: requires_2fa, status 200."""
    server.tokens.users[0].totp = "123456"
    credentials = {"username": USER, "password": PASSWORD}
    status, said = ask("POST", "/auth/login", credentials, {})
    assert (status, said["requires_2fa"], said["access_token"]) == (200, True, None)
    assert ask("POST", "/auth/login", {**credentials, "totp_code": "654321"}, {})[0] == 401
    assert ask("POST", "/auth/login", {**credentials, "totp_code": "123456"}, {})[1]["access_token"]
    assert ask("GET", "/services")[0] == 200  # a token from before


def test_a_cluster_is_created_and_its_key_is_lost(server, ask):
    """3.2: always 500, stored all the same; a new key ends the old one."""
    assert ask("POST", "/clusters", {"name": "second"})[0] == 500
    listed = ask("GET", "/clusters")[1]
    assert (listed["total"], [one["name"] for one in listed["clusters"]]) == (2, ["default", "second"])
    old = server.clusters[2].key
    new = ask("POST", "/clusters/2/rotate-api-key", {})[1]["new_api_key"]
    assert ask("GET", "/config/2", None, {"Cluster-API-Key": old})[0] == 401
    assert ask("GET", "/config/2", None, {"Cluster-API-Key": new})[0] == 200


def test_an_inactive_cluster_is_written_to(server, ask):
    """2, 3.2: and not listed unless asked for."""
    server.clusters[1].is_active = False
    assert ask("GET", "/clusters")[1]["total"] == 0
    assert ask("GET", "/clusters?active_only=false")[1]["total"] == 1
    assert ask("POST", "/services", SERVICE)[0] == 201


def test_somebody_who_is_no_administrator(server, ask):
    """3.3: creates in clusters assigned to him, sees what he made, collides with the rest, cannot delete for good."""
    server.add(**SERVICE)
    other = server.tokens.add("other", "12345678")
    bearer = {"Authorization": f"Bearer {server.tokens.issue(other)['access_token']}"}
    mine = {**SERVICE, "name": "mine"}
    assert ask("POST", "/services", mine, bearer) == (403, {"detail": "No access to this cluster"})
    assert ask("POST", "/users/2/cluster-assignments", {"user_id": 2, "cluster_id": 1}, bearer)[0] == 403
    assert ask("POST", "/users/2/cluster-assignments", {"user_id": 2, "cluster_id": 1})[0] == 201
    assert ask("POST", "/services", mine, bearer)[0] == 201
    assert [row["name"] for row in ask("GET", "/services", None, bearer)[1]["services"]] == ["mine"]
    assert ask("GET", "/services/1", None, bearer)[0] == 404
    assert ask("POST", "/services", SERVICE, bearer)[0] == 400
    assert ask("DELETE", "/services/2?permanent=true", None, bearer)[0] == 500
    assert ask("DELETE", "/services/2", None, bearer)[0] == 204


def test_lists(server, ask):
    """3.4: newest first, 100 unless more are asked for, at most 1000; active ones; other filters are ignored."""
    for number in range(1100):
        server.clock.forward(1)
        server.add(**{**SERVICE, "name": f"s{number}", "is_active": number != 1099})
    found = ask("GET", "/services")[1]
    assert (found["total"], len(found["services"]), found["services"][0]["name"]) == (1099, 100, "s1098")
    assert len(ask("GET", "/services?limit=1000&active_only=false")[1]["services"]) == 1000
    assert len(ask("GET", "/services?limit=1000&active_only=false&skip=1000")[1]["services"]) == 100
    assert ask("GET", "/services?name=s3&collection=other&page=2&page_size=3")[1]["total"] == 1099
    assert ask("GET", "/services?cluster_id=0")[1]["total"] == 1099
    assert ask("GET", "/services?cluster_id=2")[1]["total"] == 0
    for bad in ("limit=0", "limit=1001", "skip=-1"):
        assert ask("GET", f"/services?{bad}")[0] == 422


def test_rows_of_one_moment_can_be_on_two_pages(server, ask):
    """3.4: no tie-break."""
    for number in range(20):
        server.add(**{**SERVICE, "name": f"s{number}"})
    pages = [ask("GET", f"/services?limit=10&skip={skip}")[1]["services"] for skip in (0, 10)]
    assert len({row["id"] for page in pages for row in page}) < 20


def test_what_a_cluster_reads(server, ask):
    """1, 3.5: only by the header, active rows by name, nested, and another version on every call."""
    server.add(**{**SERVICE, "auth_type": "jwt"})
    server.add(**{**SERVICE, "name": "a", "health_check_enabled": False, "is_active": False})
    key = server.clusters[1].key
    for headers in (None, {}, {"X-Cluster-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        assert ask("GET", "/config/1", None, headers)[0] == 422
    assert ask("GET", "/config/1", None, {"Cluster-API-Key": "wrong"})[0] == 401
    server.add_cluster("other")
    assert ask("GET", "/config/2", None, {"Cluster-API-Key": key})[0] == 403
    (row,) = ask("GET", "/config/1", None, {"Cluster-API-Key": key})[1]["services"]
    assert row["auth"]["jwt"]["secret"]
    versions = set()
    for _time in range(2):
        server.clock.forward(1)
        versions.add(ask("GET", "/config/version/1", None, {"Cluster-API-Key": key})[1]["config_version"])
    assert len(versions) == 2


def test_an_error_repeats_what_was_sent(ask):
    """3.6: passwords too."""
    ask("POST", "/auth/login", {"username": "somebody", "password": "secret"}, {})
    assert "secret" in ask.text


def test_after_an_error_the_connection_is_dropped_without_a_word(server, ask):
    """3.6: so the next request on it fails."""
    server.add(**{**SERVICE, "protocol": "grpc"})
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    headers = {"Authorization": f"Bearer {ask.token}"}
    connection.request("GET", f"{API}/services", headers=headers)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Connection"), answer.read()) == (500, None, b"Internal Server Error")
    with pytest.raises((ConnectionError, http.client.HTTPException)):  # noqa: PT012
        connection.request("GET", f"{API}/services", headers=headers)
        connection.getresponse()


@pytest.mark.parametrize(("at_once", "still"), [(30, False), (31, True)])
def test_more_than_thirty_requests_at_once_freeze_it(server, ask, at_once, still):
    """3.7: no limit of its own, but then all stand still; shorter here than the thirty seconds there."""
    server.freeze_seconds = 2.0
    together = threading.Barrier(at_once, timeout=10)
    server.fault = lambda number, request: together.wait() and None if number <= at_once else None
    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _n: ask("GET", "/clusters"), range(at_once)))
    assert server.most_at_once == at_once
    assert (time.monotonic() - began >= 2.0) is still


def test_the_documented_server():
    """1, left column: one key, an import, lists, PUT."""
    with served(DocumentedServer()) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        body = json.dumps({"services": [SERVICE], "metadata": {}})
        for key, status in (("wrong", 401), (server.key, 200)):
            connection.request("POST", f"{API}/services/import", body, {"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (status, True)
        assert [row["name"] for row in server.services.values()] == ["x"]
        connection.close()
