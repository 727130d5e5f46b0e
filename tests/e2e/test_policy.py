"""Changes of the policy through the API, down to the packets: each is in force at once, and gone when it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.site import NIC, Client, Wire, eventually

SOURCE = "198.51.100.77"
LIST = {"lists": [{"name": "e2e", "action": "drop", "prefixes": [f"{SOURCE}/32"]}]}


@pytest.fixture
def policy(api: Client) -> Iterator[str]:
    """The NIC's policy, whose part of the API's is put back afterwards."""
    found = [one["name"] for one in api("GET", "/policies").json()["policies"] if NIC in one["interfaces"]]
    assert len(found) == 1, found
    own = api("GET", f"/policies/{found[0]}").json()["own"]
    yield found[0]
    assert api("PUT", f"/policies/{found[0]}", {"document": own}).status_code == 200


@pytest.fixture
def judged(api: Client, wire: Wire) -> Callable[..., None]:
    """Expect packets of the source to be counted for a reason."""

    def expect(verdict: str, reason: str) -> None:
        before = api.counters().get((verdict, reason), 0)
        wire.send(SOURCE, 100)
        eventually(
            f"100 packets counted as {verdict} {reason}",
            lambda: api.counters().get((verdict, reason), 0) - before >= 100,
            seconds=10,
        )

    return expect


def test_a_ban_holds_until_it_is_taken_back(api, judged):
    ban = api("POST", "/bans", {"address": SOURCE, "seconds": 600, "comment": "e2e"})
    assert ban.status_code == 201, ban.text
    judged("drop", "ban")
    assert SOURCE in {one["address"] for one in api("GET", "/bans").json()["bans"]}
    assert api("DELETE", f"/bans/{SOURCE}").status_code == 204
    judged("pass", "no_rule")


def test_a_change_is_previewed_put_confirmed_and_taken_back(api, policy, judged):
    preview = api("POST", f"/policies/{policy}/preview", {"document": LIST})
    assert preview.status_code == 200, preview.text
    assert preview.json()["changed"]
    judged("pass", "no_rule")

    put = api("PUT", f"/policies/{policy}", {"document": LIST, "confirm_seconds": 120, "why": "e2e"}).json()
    judged("drop", "list_drop")
    assert put["pending"]["revision"] == put["revision"]
    assert api("POST", f"/policies/{policy}/confirm", {"revision": put["revision"]}).status_code == 200
    assert api("GET", f"/policies/{policy}").json()["pending"] is None
    latest = api("GET", f"/policies/{policy}/history").json()["revisions"][0]
    assert (latest["revision"], latest["owner"], latest["why"]) == (put["revision"], "api", "e2e")
    met = {
        (one["part"], one["id"]): one
        for nic in api("GET", "/dataplane/parts").json()["interfaces"]
        for one in nic["parts"]
    }
    assert met["list", "e2e"]["packets"] >= 100

    assert api("POST", f"/policies/{policy}/revert", {}).status_code == 200
    judged("pass", "no_rule")


def test_a_change_that_nobody_confirms_is_gone_in_time(api, policy, judged):
    assert api("PUT", f"/policies/{policy}", {"document": LIST, "confirm_seconds": 15}).status_code == 200
    judged("drop", "list_drop")
    eventually("the change taken back", lambda: api("GET", f"/policies/{policy}").json()["pending"] is None, seconds=40)
    judged("pass", "no_rule")
