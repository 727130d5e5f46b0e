"""Changes of the policy, through the API and by a person: each is in force at once, and gone when it should be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browser import sign_in
from tests.support.site import API, GUEST_PASSWORD, NIC, WEB, Client, Wire, eventually, login

SOURCE = "198.51.100.77"
LIST = {"lists": [{"name": "e2e", "action": "drop", "prefixes": [f"{SOURCE}/32"]}]}
# In the prefix that the inventory drops, and so among the samples that a preview looks at.
SAMPLED = "203.0.113.7"
WAITING = "policy-pending"
# The page asks again every 5 s (ms).
PATIENCE = 20_000
_SECONDS = re.compile(r"^[1-9][0-9]* s$")


@pytest.fixture
def policy(api: Client) -> Iterator[str]:
    """The NIC's policy, whose part of the API's is put back afterwards."""
    found = [one["name"] for one in api("GET", "/policies").json()["policies"] if NIC in one["interfaces"]]
    assert len(found) == 1, found
    path = f"/policies/{found[0]}"
    own = api("GET", path).json()["own"]
    yield found[0]
    # While a change waits no other is taken.
    if api("GET", path).json()["pending"]:
        api("POST", f"{path}/revert", {})
    answer = api("PUT", path, {"document": own})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def judged(api: Client, wire: Wire) -> Callable[..., None]:
    """Expect packets of the source to be counted for a reason."""

    def expect_counted(verdict: str, reason: str) -> None:
        before = api.counters().get((verdict, reason), 0)
        wire.send(SOURCE, 100)
        eventually(
            f"100 packets counted as {verdict} {reason}",
            lambda: api.counters().get((verdict, reason), 0) - before >= 100,
            seconds=10,
        )

    return expect_counted


@pytest.fixture
def person_of(browser: BrowserContext, enrol: Callable[..., dict[str, Any]]) -> Callable[[str], Page]:
    """Show somebody of a role the policy's page."""

    def signed_in(role: str) -> Page:
        page = browser.new_page()
        sign_in(page, GUEST_PASSWORD, enrol(email=f"{role}@example.com", role=role)["email"])
        page.get_by_role("link", name="Policy").click()
        expect(page.get_by_role("heading", name="Policy", level=1)).to_be_visible()
        return page

    return signed_in


def write(page: Page, document: dict[str, Any]) -> None:
    """Replace the draft, and have it tried."""
    page.get_by_label("Document", exact=True).fill(json.dumps(document, indent=2))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_test_id("policy-preview")).to_be_visible(timeout=PATIENCE)


def apply(page: Page, reason: str, seconds: int) -> None:
    """Put what was tried in force."""
    page.get_by_label("Reason").fill(reason)
    page.get_by_label("Seconds to confirm").fill(str(seconds))
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_test_id(WAITING)).to_be_visible(timeout=PATIENCE)


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
    assert 60 < put["pending"]["seconds_left"] <= 120
    assert api("POST", f"/policies/{policy}/confirm", {"revision": put["revision"]}).status_code == 200
    assert api("GET", f"/policies/{policy}").json()["pending"] is None
    latest = api("GET", f"/policies/{policy}/history").json()["revisions"][0]
    assert (latest["revision"], latest["owner"], latest["why"]) == (put["revision"], "api", "e2e")

    def met() -> dict:
        return {
            (one["part"], one["id"]): one
            for nic in api("GET", "/dataplane/parts").json()["interfaces"]
            for one in nic["parts"]
        }

    # They are read each second.
    eventually(
        "the packets of the list", lambda: met().get(("list", "e2e"), {"packets": 0})["packets"] >= 100, seconds=10
    )

    assert api("POST", f"/policies/{policy}/revert", {}).status_code == 200
    judged("pass", "no_rule")


def test_a_list_alone_is_put_and_seen_in_drops_and_taken_away(api, policy, judged, wire):
    path = f"/lists/{policy}/e2e"
    put = api("PUT", path, {"part": LIST["lists"][0]})
    assert put.status_code == 200, put.text
    judged("drop", "list_drop")
    part = api("GET", path)
    assert (part.json()["part"], part.headers["ETag"]) == (LIST["lists"][0], part.json()["etag"])
    eventually("the packets of the list", lambda: api("GET", path).json()["packets"] >= 100, seconds=10)

    def seen() -> bool:
        wire.send(SOURCE, 10)
        drops = api("GET", f"/drops?limit=10&interface={NIC}&part=list:e2e").json()["drops"]
        return any(one["source"] == SOURCE for one in drops)

    eventually("a drop that is sampled", seen, seconds=20)
    assert NIC in [one["name"] for one in api("GET", "/topology").json()["nics"]]
    assert api("DELETE", path).status_code == 200
    judged("pass", "no_rule")


def test_a_change_that_nobody_confirms_is_gone_in_time(api, policy, judged):
    assert api("PUT", f"/policies/{policy}", {"document": LIST, "confirm_seconds": 15}).status_code == 200
    judged("drop", "list_drop")
    eventually("the change taken back", lambda: api("GET", f"/policies/{policy}").json()["pending"] is None, seconds=40)
    judged("pass", "no_rule")


@pytest.mark.parametrize("origin", [API, WEB], ids=["api", "web interface"])
def test_a_connection_from_before_a_change_does_not_confirm_it(api, policy, origin):
    path = f"/policies/{policy}"
    old, new = (HTTPConnection(urlsplit(origin).netloc, timeout=15) for _connection in range(2))
    old.connect()
    put = api("PUT", path, {"document": LIST, "confirm_seconds": 60}).json()

    def confirm(connection: HTTPConnection) -> tuple[int, dict[str, Any]]:
        headers = {**api.headers, "Content-Type": "application/json"}
        connection.request("POST", f"/api/v1{path}/confirm", json.dumps({"revision": put["revision"]}), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    status, told = confirm(old)
    assert (status, told["code"]) == (421, "old_connection")
    # A browser would not let go of it by itself.
    assert (old.sock is None) == (origin == WEB)
    assert api("GET", path).json()["pending"]["revision"] == put["revision"]
    assert confirm(new) == (200, {"revision": put["revision"]})
    assert api("GET", path).json()["pending"] is None
    old.close()
    new.close()


def test_a_person_bans_an_address_and_sees_what_it_drops(person_of, judged):
    page = person_of("maintainer")
    page.get_by_label("Address to ban").fill(SOURCE)
    page.get_by_label("For", exact=True).select_option("1 hour")
    page.get_by_label("Why", exact=True).fill("e2e")
    page.get_by_role("button", name="Ban", exact=True).click()
    ban = page.get_by_test_id(f"ban-{SOURCE}")
    expect(ban).to_contain_text("maintainer@example.com", timeout=PATIENCE)
    judged("drop", "ban")
    expect(ban.get_by_role("cell", name="100", exact=True)).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name=f"Unban {SOURCE}").click()
    expect(ban).to_be_hidden(timeout=PATIENCE)
    judged("pass", "no_rule")


def test_a_draft_says_which_packets_it_would_judge_otherwise(policy, person_of, judged, wire):
    page = person_of("maintainer")
    passed = {"lists": [*LIST["lists"], {"name": "e2e-pass", "action": "pass", "prefixes": [f"{SAMPLED}/32"]}]}

    def flip() -> str:
        wire.send(SAMPLED, 20)
        # Another text, so that what is shown is not what was said before.
        write(page, LIST)
        write(page, passed)
        row = page.get_by_test_id("policy-flips").get_by_role("row").filter(has_text=SAMPLED)
        return row.first.inner_text() if row.count() else ""

    found = eventually("a packet that would be judged otherwise", flip, seconds=40)
    assert "drop list_drop" in found
    assert "pass" in found
    assert "e2e-pass" in page.get_by_test_id("policy-preview").inner_text()
    # It was only asked what would be.
    judged("pass", "no_rule")


def test_a_faulty_draft_is_refused_by_its_line(policy, person_of, judged):
    page = person_of("maintainer")
    document = page.get_by_label("Document", exact=True)
    document.fill('{"lists": [}')
    expect(page.get_by_text("Line 1, column 12")).to_be_visible()
    expect(page.get_by_role("button", name="Preview")).to_be_disabled()
    document.fill(json.dumps({"lists": [{**LIST["lists"][0], "action": "dorp"}]}, indent=2))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("alert")).to_contain_text("dorp", timeout=PATIENCE)
    page.get_by_role("alert").get_by_role("button", name="Line 5").click()
    expect(document).to_be_focused()
    judged("pass", "no_rule")


def test_what_a_person_does_not_confirm_is_taken_back_and_the_draft_stays(policy, person_of, judged):
    page = person_of("maintainer")
    write(page, LIST)
    page.reload()
    document = page.get_by_label("Document", exact=True)
    expect(document).to_have_value(json.dumps(LIST, indent=2))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_test_id("policy-preview")).to_be_visible(timeout=PATIENCE)
    apply(page, "nobody looks after it", 30)
    judged("drop", "list_drop")
    page.reload()
    expect(page.get_by_role("timer")).to_have_text(_SECONDS, timeout=PATIENCE)
    expect(page.get_by_role("button", name="Confirm")).to_be_visible()
    expect(page.get_by_test_id(WAITING)).to_be_hidden(timeout=60_000)
    judged("pass", "no_rule")
    expect(page.get_by_text("was taken back")).to_be_visible(timeout=PATIENCE)
    expect(document).to_have_value(json.dumps(LIST, indent=2))


def test_a_person_confirms_a_change_and_goes_back_to_the_one_before(api, policy, person_of, judged):
    before = api("GET", f"/policies/{policy}").json()["revision"]
    page = person_of("maintainer")
    write(page, LIST)
    apply(page, "e2e keeps it", 120)
    judged("drop", "list_drop")
    # The page's own polls came by connections from before the change; what confirms is a new one.
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_test_id(WAITING)).to_be_hidden(timeout=PATIENCE)
    now = api("GET", f"/policies/{policy}").json()
    assert (now["pending"], now["own"]) == (None, LIST)
    entry = page.get_by_test_id(f"revision-{now['revision']}")
    expect(entry).to_contain_text("current", timeout=PATIENCE)
    expect(entry).to_contain_text("maintainer@example.com")
    expect(entry).to_contain_text("e2e keeps it")
    judged("drop", "list_drop")

    page.get_by_role("button", name=f"Go back to revision {before}").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back").click()
    expect(page.get_by_test_id(WAITING)).to_be_visible(timeout=PATIENCE)
    judged("pass", "no_rule")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_test_id(WAITING)).to_be_hidden(timeout=PATIENCE)
    assert "e2e" not in json.dumps(api("GET", f"/policies/{policy}").json()["own"])
    judged("pass", "no_rule")


def test_two_people_do_not_overwrite_each_other_unseen(api, policy, person_of):
    page = person_of("maintainer")
    write(page, LIST)
    theirs = {"lists": [{"name": "e2e-theirs", "action": "drop", "prefixes": [f"{SOURCE}/32"]}]}
    assert api("PUT", f"/policies/{policy}", {"document": theirs, "why": "first"}).status_code == 200
    told = page.get_by_test_id("policy-overtaken")
    expect(told).to_contain_text("first", timeout=PATIENCE)
    expect(told).to_contain_text("e2e-theirs")
    expect(page.get_by_label("Document", exact=True)).to_have_value(json.dumps(LIST, indent=2))
    expect(page.get_by_role("button", name="Apply")).to_be_hidden()
    page.get_by_role("button", name="Go on with the draft").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_test_id("policy-preview")).to_contain_text("e2e-theirs", timeout=PATIENCE)


def test_a_viewer_reads_and_changes_nothing(policy, person_of, judged):
    page = person_of("viewer")
    expect(page.get_by_test_id("part-list-acl")).to_be_visible()
    expect(page.get_by_role("heading", name="Changes")).to_be_visible()
    expect(page.get_by_label("Document", exact=True)).to_be_hidden()
    for name in ("Preview", "Apply", "Confirm", "Ban"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_hidden()
    viewer = Client(login("viewer@example.com", GUEST_PASSWORD).json()["access_token"])
    for method, path, body in [
        ("PUT", f"/policies/{policy}", {"document": LIST}),
        ("POST", f"/policies/{policy}/preview", {"document": LIST}),
        ("POST", f"/policies/{policy}/confirm", {"revision": 1}),
        ("POST", f"/policies/{policy}/revert", {}),
        ("POST", "/bans", {"address": SOURCE, "seconds": 60}),
    ]:
        assert viewer(method, path, body).status_code == 403, (method, path)
    judged("pass", "no_rule")
