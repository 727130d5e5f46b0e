"""ETag and If-Match: who was overtaken is told so, and undoes nobody's change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import PASSWORD, Caller, enrol, sign_in
from flask import Flask
from test_policies import Peer, pb, peer

# Fixtures, which pytest finds here.
__all__ = ["peer"]


def only(etag: str) -> dict[str, Any]:
    return {"headers": {"If-Match": etag}}


def refused(answer: Any, now: str) -> None:
    assert (answer.status_code, answer.json["code"], answer.headers["ETag"]) == (412, "changed_meanwhile", now)
    assert "Read it again" in answer.json["detail"]
    assert now in answer.json["detail"]


class TestAccounts:
    def test_who_was_overtaken_is_told_and_goes_on_with_the_present_tag(self, admin: Caller) -> None:
        user = enrol(admin, "viewer")
        path, read = f"/users/{user['id']}", user["etag"]
        assert admin("GET", path).headers["ETag"] == read
        assert [one["etag"] for one in admin("GET", "/users").json["users"] if one["id"] == user["id"]] == [read]
        first = admin("PUT", path, json={"role": "maintainer"}, **only(read))
        assert first.status_code == 200
        now = first.headers["ETag"]
        assert now == first.json["etag"] != read
        refused(admin("PUT", path, json={"full_name": "Late"}, **only(read)), now)
        refused(admin("DELETE", path, **only(read)), now)
        assert admin("GET", path).json == first.json
        assert admin("PUT", path, json={"full_name": "Late"}, **only(f'"other", {now}')).json["role"] == "maintainer"
        assert admin("DELETE", path, **only("*")).status_code == 204
        assert admin("DELETE", path, **only("*")).status_code == 404

    def test_a_new_password_is_a_change_that_the_trail_shows_no_tag_of(self, app: Flask, admin: Caller) -> None:
        user = enrol(admin, "viewer")
        path = f"/users/{user['id']}"
        assert admin("PUT", path, json={"password": PASSWORD + "!"}, **only(user["etag"])).status_code == 200
        now = admin("GET", path).headers["ETag"]
        refused(admin("PUT", path, json={"password": PASSWORD}, **only(user["etag"])), now)
        # To sign in is none.
        sign_in(app, user["email"], PASSWORD + "!")
        assert admin("GET", path).headers["ETag"] == now
        assert "etag" not in admin("GET", "/audit").text

    def test_of_several_at_a_time_one_gets_through(self, admin: Caller, app: Flask) -> None:
        user = enrol(admin, "viewer")

        def change(number: int) -> int:
            body = {"json": {"full_name": f"Name {number}"}, **only(user["etag"])}
            headers = {"Authorization": f"Bearer {admin.access}", **body.pop("headers")}
            path = f"/api/v1/users/{user['id']}"
            return app.test_client().put(path, headers=headers, **body).status_code

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(change, range(4))) == [200, 412, 412, 412]

    @pytest.mark.parametrize("etag", ['W/"{}"', '"x{}"', "", ","])
    def test_only_the_very_tag_is_one(self, admin: Caller, etag: str) -> None:
        user = enrol(admin, "viewer")
        answer = admin(
            "PUT", f"/users/{user['id']}", json={"role": "admin"}, **only(etag.format(user["etag"].strip('"')))
        )
        assert answer.status_code == 412


@pytest.mark.databases("sqlite")
class TestPolicies:
    def test_a_change_is_for_the_revision_that_was_read(self, admin: Caller, peer: Peer) -> None:
        read = admin("GET", "/policies/edge").headers["ETag"]
        made = admin("PUT", "/policies/edge", json={"document": {}}, **only(read))
        assert (made.status_code, made.headers["ETag"]) == (200, '"8"')
        # The agent holds it against the revision as it changes it.
        assert peer.asked.expected == 7
        back = admin("POST", "/policies/edge/revert", json={}, **only(read))
        assert (back.status_code, back.headers["ETag"], peer.asked.expected) == (200, '"9"', 7)
        peer.asked = None
        for method, path, body in (
            ("PUT", "/policies/edge", {"document": {}}),
            ("POST", "/policies/edge/revert", {}),
        ):
            refused(admin(method, path, json=body, **only('"6"')), read)
            assert isinstance(peer.asked, pb.GetPolicyRequest)
        assert [one["action"] for one in admin("GET", "/audit").json["entries"]][:2] == [
            "policy reverted done",
            "policy reverted asked",
        ]

    def test_without_if_match_it_is_for_any_revision(self, admin: Caller, peer: Peer) -> None:
        for arguments in ({}, only("*")):
            assert admin("PUT", "/policies/edge", json={"document": {}}, **arguments).status_code == 200
            assert not peer.asked.HasField("expected")

    def test_who_is_overtaken_while_the_agent_is_asked_hears_the_same(self, admin: Caller, peer: Peer) -> None:
        path = "/policies/refuse-ABORTED-late"
        read = '"7"'
        refused(admin("PUT", path, json={"document": {}}, **only(read)), '"8"')
        # What is no matter of revisions stays what it is.
        peer.late = 7
        answer = admin("PUT", path, json={"document": {}}, **only(read))
        assert (answer.status_code, answer.json["code"]) == (409, "conflict")
