"""Lists, rules, limits and services one by one, against a server that plays go-backend's side of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import test_policies
from conftest import Caller
from test_policies import pb, serving

from tripod_api.config import Settings

pytestmark = pytest.mark.databases("sqlite")

MINE = {"name": "bogons", "action": "drop", "prefixes": ["192.0.2.0/24", "198.51.100.0/24"]}
OTHER = {"name": "guests", "action": "pass", "prefixes": ["203.0.113.0/24"]}
OWN = {"lists": [MINE, OTHER], "rules": [{"id": "no-snmp", "action": "drop"}]}
# As the agent tells it: with owners, and the entries of a long list shortened.
DOCUMENT = {
    "lists": [
        {"name": "site", "action": "drop", "prefixes": [], "owner": "inventory"},
        {"name": "bogons", "action": "drop", "prefixes": ["192.0.2.0/24"], "entries": 2, "owner": "api"},
        {**OTHER, "owner": "api"},
    ],
    "rules": [{"id": "no-snmp", "action": "drop", "owner": "api"}],
}


class Peer(test_policies.Peer):
    own: dict[str, Any] = OWN

    def GetPolicy(self, request: Any, context: Any) -> pb.GetPolicyResponse:  # noqa: N802
        self._take(request, context)
        state = pb.PolicyState(name=request.policy, digest="ab", revision=7, interfaces=["ens1"])
        return pb.GetPolicyResponse(state=state, document=json.dumps(DOCUMENT), own=json.dumps(self.own))


@pytest.fixture
def peer(settings: Settings) -> Iterator[Peer]:
    with serving(Peer(), settings.go_backend_target) as found:
        assert isinstance(found, Peer)
        yield found


@pytest.mark.usefixtures("peer")
def test_each_part_is_told_with_what_it_has_met(maintainer: Caller) -> None:
    found = maintainer("GET", "/lists").json["parts"]
    assert [(one["policy"], one["id"], one["owner"]) for one in found] == [
        ("edge", "site", "inventory"),
        ("edge", "bogons", "api"),
        ("edge", "guests", "api"),
    ]
    assert found[1] == {
        "policy": "edge",
        "id": "bogons",
        "owner": "api",
        # One's own whole.
        "part": MINE,
        "etag": found[1]["etag"],
        "packets": 1,
        "bytes": 60,
        "observed_packets": 2,
        "observed_bytes": 0,
        "last": "2026-01-02T03:04:00Z",
    }
    assert [(one["packets"], one["last"]) for one in found if one["id"] != "bogons"] == [(0, None)] * 2
    assert maintainer("GET", "/lists?policy=edge").json["parts"] == found
    one = maintainer("GET", "/lists/edge/bogons")
    assert (one.json, one.headers["ETag"]) == (found[1], found[1]["etag"])
    assert [each["id"] for each in maintainer("GET", "/rules").json["parts"]] == ["no-snmp"]
    for kind in ("limits", "services"):
        assert maintainer("GET", f"/{kind}").json == {"parts": []}
        assert maintainer("GET", f"/{kind}/edge/none").json["code"] == "part_not_found"


def asked(peer: Peer) -> Any:
    assert (peer.asked.policy, peer.asked.expected) == ("edge", 7)
    return json.loads(peer.asked.document)


def test_one_is_replaced_where_it_is_and_a_new_one_comes_last(admin: Caller, maintainer: Caller, peer: Peer) -> None:
    wanted = {"action": "pass", "prefixes": []}
    body = {"part": wanted, "confirm_seconds": 60, "why": "w"}
    made = maintainer("PUT", "/lists/edge/bogons", json=body)
    assert (made.status_code, made.json["revision"]) == (200, 8)
    assert asked(peer) == {**OWN, "lists": [{"name": "bogons", **wanted}, OTHER]}
    assert (peer.asked.confirm_seconds, peer.asked.why, peer.asked.by) == (60, "w", maintainer.user["email"])
    entries = admin("GET", "/audit").json["entries"]
    assert [(one["action"], one["target"]) for one in entries[:2]] == [
        ("list changed done", "list bogons of policy edge"),
        ("list changed asked", "list bogons of policy edge"),
    ]
    assert (entries[1]["was"], entries[1]["became"]) == (MINE, {"name": "bogons", **wanted})
    for kind, key in (("lists", "name"), ("rules", "id"), ("limits", "name"), ("services", "name")):
        assert maintainer("PUT", f"/{kind}/edge/new", json={"part": {"x": 1}}).status_code == 200
        assert asked(peer)[kind] == [*OWN.get(kind, []), {key: "new", "x": 1}]
    wrong = maintainer("PUT", "/rules/edge/new", json={"part": {"id": "old"}})
    assert (wrong.status_code, wrong.json["code"]) == (422, "invalid_input")


def test_all_of_them_together_are_no_larger_than_a_policy(maintainer: Caller, peer: Peer) -> None:
    peer.own = {"lists": [{"name": "large", "prefixes": ["x" * 100_000]}]}
    refused = maintainer("PUT", "/lists/edge/another", json={"part": {"prefixes": ["x" * 100_000]}})
    assert (refused.status_code, refused.json["code"]) == (422, "too_large")
    assert not isinstance(peer.asked, pb.PutPolicyRequest)


def test_one_is_taken_away_and_nobody_elses(maintainer: Caller, peer: Peer) -> None:
    assert maintainer("DELETE", "/lists/edge/bogons?confirm_seconds=9&why=old").status_code == 200
    assert asked(peer) == {**OWN, "lists": [OTHER]}
    assert (peer.asked.confirm_seconds, peer.asked.why) == (9, "old")
    assert maintainer("DELETE", "/rules/edge/no-snmp").status_code == 200
    assert asked(peer) == {"lists": OWN["lists"]}
    peer.asked = None
    refused = maintainer("DELETE", "/lists/edge/site")
    assert (refused.status_code, refused.json["code"]) == (404, "part_not_found")
    assert not isinstance(peer.asked, pb.PutPolicyRequest)


def test_who_was_overtaken_is_told(maintainer: Caller, peer: Peer) -> None:
    etag = maintainer("GET", "/lists/edge/bogons").headers["ETag"]
    for method in ("PUT", "DELETE"):
        body = {"json": {"part": {}}} if method == "PUT" else {}
        late = maintainer(method, "/lists/edge/guests", headers={"If-Match": etag}, **body)
        assert (late.status_code, late.json["code"]) == (412, "changed_meanwhile")
        assert not isinstance(peer.asked, pb.PutPolicyRequest)
    # A new one is for nobody's state.
    new = {"headers": {"If-Match": "*"}, "json": {"part": {}}}
    assert maintainer("PUT", "/lists/edge/new", **new).status_code == 412
    assert maintainer("PUT", "/lists/edge/bogons", **new).status_code == 200
    good = {"headers": {"If-Match": etag}, "json": {"part": {}}}
    assert maintainer("PUT", "/lists/edge/bogons", **good).status_code == 200
