"""The whole list of a server, though its pages overlap and some of its rows make them errors."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.server_rows import (
    PAGES,
    UNREADABLE_LIMIT,
    Page,
    read_page,
    read_rows,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials, Failed

from tests.support.marchproxy.client import PASSWORD, USER, connect, real_server
from tests.support.marchproxy.serving import Answer, served


@pytest.fixture
def server():
    with served(real_server(clock=itertools.count().__next__)) as server:  # no two rows are of one moment
        yield server


def fill(server, count, **fields):
    for number in range(count):
        server.add(**{"name": f"s{number}", "ip_fqdn": "h.example.net", "port": 80, "collection": "other", **fields})


def read(server, key=None):
    return read_rows(connect(server, Credentials(cluster_key=key, username=USER, password=PASSWORD)), 1)


def queries(server):
    return [request.query for request in server.log if request.path.endswith("/services")]


def test_a_short_list_is_one_request(server):
    fill(server, 3)
    assert {row.name for row in read(server).rows} == {"s0", "s1", "s2"}
    assert queries(server) == [{"active_only": "false", "limit": "1000", "skip": "0"}]


def test_an_empty_list(server):
    assert read(server).rows == []


def test_rows_that_move_between_pages_are_all_read_once(server):
    """3.4: more than a page holds, no tie-break."""
    server.clock = lambda: 5000.0
    fill(server, 2500)
    rows = read(server).rows
    assert sorted(row.id for row in rows) == list(range(1, 2501))
    assert len({query["limit"] for query in queries(server)}) > 1  # one reading did not do


def test_rows_of_every_cluster_collection_and_state_are_read(server):
    """2: a name is taken by any of them."""
    server.add_cluster("second")
    fill(server, 1)
    server.add(name="gone", ip_fqdn="h", port=1, is_active=False)
    server.add(name="far", ip_fqdn="h", port=1, cluster_id=2)
    assert {row.name for row in read(server).rows} == {"s0", "gone", "far"}


def test_a_row_that_is_listed_twice_is_one(server):
    """3.3: as of somebody to whom a service is assigned twice."""
    fill(server, 3)
    handle = server.handle

    def twice(request):
        answer = handle(request)
        if request.line == "GET /services":
            answer.body = {"total": 4, "services": [*answer.body["services"], answer.body["services"][0]]}
        return answer

    server.handle = twice
    assert len(read(server).rows) == 3
    assert len(queries(server)) == 1


def test_no_secret_is_kept(server):
    """2: every answer has them."""
    fill(server, 1, auth_type="jwt")
    assert server.services[1].jwt_secret
    assert server.services[1].jwt_secret not in repr(read(server))


@pytest.mark.parametrize("field", ["protocol", "auth_type", "tls_enabled", "tls_verify", "health_check_enabled"])
def test_a_poisoned_row_is_found_and_the_others_are_read(server, field):
    """0.4: each page with it is an error; by the cluster's key it has a name."""
    fill(server, 30)
    setattr(server.services[17], field, None)
    found = read(server)
    assert (len(found.rows), found.illegal, len(found.hidden)) == (29, (), 1)
    (warning,) = found.warnings(lambda row: False)
    place = found.hidden[0]
    assert f"the row of GET /api/v1/services?active_only=false&limit=1&skip={place} holds an illegal value" in warning
    found = read(server, server.clusters[1].key)
    assert (len(found.rows), found.illegal, found.hidden) == (30, [17], [])
    (warning,) = found.warnings(lambda row: False)
    assert "service s16 (id 17, collection other) holds an illegal value" in warning
    assert "not ours to repair" in warning
    assert found.warnings(lambda row: True) == []
    assert server.writes == []


def test_a_poisoned_row_that_is_deleted_has_no_name_for_anybody(server):
    """2: the configuration shows active rows only."""
    fill(server, 9)
    server.services[3].protocol, server.services[3].is_active = "grpc", False
    found = read(server, server.clusters[1].key)
    assert (len(found.rows), found.illegal, len(found.hidden)) == (8, [], 1)


def test_what_the_user_does_not_see_is_not_taken_for_illegal(server):
    """3.3: the configuration shows the rows of everybody, the list only the user's own."""
    mine = server.tokens.add("other", PASSWORD, clusters={1}).id
    fill(server, 3)
    for name, assigned in (("mine", {mine}), ("good", {mine}), ("hers", set())):
        server.add(name=name, ip_fqdn="h.example.net", port=80, collection="app", assigned=assigned)
    for name in ("mine", "hers"):
        server.named(name).protocol = "grpc"
    found = read_rows(connect(server, Credentials(server.clusters[1].key, username="other", password=PASSWORD)), 1)
    assert {row.name for row in found.rows} == {"mine", "good"}
    assert (found.illegal, found.hidden) == ([server.named("mine").id], [])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_list_of_poisoned_rows_alone(server, count):
    fill(server, count, protocol="grpc")
    found = read(server, server.clusters[1].key)
    assert (len(found.rows), len(found.illegal), found.hidden) == (count, count, [])


def test_a_poisoned_row_beyond_the_first_page(server):
    fill(server, 1203)
    server.services[5].protocol = "grpc"
    found = read(server)
    assert (len(found.rows), found.hidden) == (1202, [1198])


def test_too_many_poisoned_rows_are_a_matter_of_the_administrator(server):
    fill(server, UNREADABLE_LIMIT + 1, protocol="grpc")
    with pytest.raises(Impossible, match=f"more than {UNREADABLE_LIMIT} services on the server hold an illegal value"):
        read(server)


def test_a_server_that_is_out_of_order_is_not_searched_for_rows(server):
    fill(server, 100)
    server.fault = lambda number, request: "fail" if request.path.endswith("/services") else None
    with pytest.raises(Failed, match=r"limit=1&skip=1000000000: 500"):
        read(server)
    assert len(queries(server)) == 2


def test_a_list_that_never_holds_still_is_not_read_for_ever(server):
    fill(server, 1500)
    server.fault = lambda number, request: fill(server, 1)
    with pytest.raises(Impossible, match=f"changed while it was read, {len(PAGES)} times: somebody else writes"):
        read(server)


def test_a_list_that_changes_once_is_read_again(server):
    fill(server, 1500)
    server.fault = lambda number, request: fill(server, 1) if number == 3 else None
    assert len(read(server).rows) == 1501


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_lists_nothing(server, status):
    """3a: that is accepted and not verified; http.server answers 501 to a method that it does not have."""
    server.handle = lambda request: Answer(status)
    assert read_page(connect(server)) == Page(None)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_not_a_server_without_a_list(server, status):
    server.handle = lambda request: Answer(status)
    assert read_page(connect(server)) == Page(None, status)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_is_out_of_order_is_an_error(server, status):
    server.handle = lambda request: Answer(status)
    with pytest.raises(Failed, match=f"GET /api/v1/services: {status}"):
        read_page(connect(server))
