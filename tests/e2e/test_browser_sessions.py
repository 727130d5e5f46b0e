"""One session in a person's browser, whatever its tabs do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Route, expect

from tests.support.browser import expect_dashboard, sign_in, signed_in
from tests.support.site import GUEST_PASSWORD, WEB, Client, admin_password

REFRESH = "**/api/v1/auth/refresh"
# The page reads the time from storage, so this is what a quarter of an hour does.
AGE = """localStorage.setItem('tripod.session',
    JSON.stringify({...JSON.parse(localStorage['tripod.session']), renewAt: 0}))"""
BLOCK = """for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, {
    get() { throw new DOMException('denied', 'SecurityError') }})"""


@pytest.fixture
def colleague(api: Client) -> Iterator[dict[str, str]]:
    """Another admin, for as long as the test."""
    body = {"email": "colleague@example.com", "password": GUEST_PASSWORD, "full_name": "Colleague", "role": "admin"}
    answer = api("POST", "/users", body)
    assert answer.status_code == 201, answer.text
    yield answer.json()
    api("DELETE", f"/users/{answer.json()['id']}")


def refreshes(browser: BrowserContext) -> list[str]:
    """Return a list that grows with each refresh that the browser asks for."""
    seen: list[str] = []
    browser.on("request", lambda request: seen.append(request.url) if request.url.endswith("/auth/refresh") else None)
    return seen


def test_reloads_in_quick_succession_stay_signed_in(browser):
    page = signed_in(browser)
    for pause in range(15, 63, 4):
        page.evaluate(AGE)
        page.evaluate("setTimeout(() => location.reload())")
        time.sleep(pause / 1000)
        # Either of them may be told that the other one came first.
        with suppress(Error):
            page.reload()
        expect_dashboard(page)
    assert page.evaluate("localStorage['tripod.session']")


def test_a_new_tab_finds_the_session_and_the_sign_out_ends_both(browser):
    first = signed_in(browser)
    second = browser.new_page()
    second.goto(f"{WEB}/users")
    expect(second.get_by_role("heading", name="Users")).to_be_visible()
    first.get_by_role("button", name="Sign out").click()
    expect(second.get_by_role("button", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "over plain HTTP"])
def test_all_tabs_renew_their_session_together(browser, locks):
    if not locks:
        # As a browser has it where the page came over plain HTTP from another host.
        browser.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
    tabs = [signed_in(browser), *(browser.new_page() for _tab in range(4))]
    for tab in tabs[1:]:
        tab.goto(WEB)
        expect_dashboard(tab)
    seen = refreshes(browser)
    # Each tab polls once a second.
    with browser.expect_event("request", lambda request: request.url.endswith("/auth/refresh")):
        tabs[0].evaluate(AGE)
    tabs[0].wait_for_timeout(3_000)
    assert not locks or len(seen) == 1
    for tab in tabs:
        expect_dashboard(tab)
    assert tabs[0].evaluate("JSON.parse(localStorage['tripod.session']).renewAt > Date.now()")


def test_an_answer_that_gets_lost_costs_no_session(browser):
    page = signed_in(browser)
    lost: list[str] = []

    def lose(route: Route) -> None:
        # The API has carried it out, and nobody heard of it.
        if len(lost) < 2:
            route.fetch()
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    browser.route(REFRESH, lose)
    page.evaluate(AGE)
    page.reload()
    expect_dashboard(page)
    assert len(lost) == 2


def test_blocked_storage_costs_a_reload_and_not_the_page(browser):
    browser.add_init_script(BLOCK)
    page = signed_in(browser)
    page.get_by_role("link", name="Users").click()
    expect(page.get_by_role("heading", name="Users")).to_be_visible()


def test_a_demoted_admin_loses_the_menu(browser, api, colleague):
    page = browser.new_page()
    sign_in(page, GUEST_PASSWORD, colleague["email"])
    expect(page.get_by_role("link", name="Users")).to_be_visible()
    assert api("PUT", f"/users/{colleague['id']}", {"role": "viewer"}).status_code == 200
    expect(page.get_by_role("link", name="Users")).to_be_hidden(timeout=30_000)
    expect_dashboard(page)


def test_a_person_changes_their_own_password(browser, colleague):
    page = browser.new_page()
    sign_in(page, GUEST_PASSWORD, colleague["email"])
    expect_dashboard(page)
    page.get_by_role("link", name="Profile").click()
    change(page, "not the one", "seven loud geese land")
    expect(page.get_by_role("alert")).to_have_text("The current password is wrong.")
    change(page, GUEST_PASSWORD, "seven loud geese land")
    expect(page.get_by_text("Your password is changed")).to_be_visible()
    page.get_by_role("button", name="Sign out").first.click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    sign_in(page, "seven loud geese land", colleague["email"])
    expect_dashboard(page)


def change(page: Page, current: str, wanted: str) -> None:
    page.get_by_label("Current password").fill(current)
    page.get_by_label("New password").fill(wanted)
    page.get_by_role("button", name="Change password").click()


def test_a_front_that_answers_in_html_is_shown_in_words(browser):
    page = signed_in(browser)
    html = {"status": 200, "content_type": "text/html", "body": "<html>Bad Gateway</html>"}
    browser.route("**/api/v1/dataplane/**", lambda route: route.fulfill(**html))
    # The page asks for the state every 5 s, and for figures not at all.
    expect(page.get_by_text("an answer that this page cannot read").first).to_be_visible(timeout=15_000)
    expect(page.get_by_test_id("dataplane-status")).to_have_text("not known")
    browser.route(REFRESH, lambda route: route.fulfill(**{**html, "status": 401}))
    page.evaluate(AGE)
    page.wait_for_timeout(7_000)
    browser.unroute(REFRESH)
    browser.unroute("**/api/v1/dataplane/**")
    # What was no word of the API has ended nothing.
    expect(page.get_by_test_id("dataplane-status")).not_to_have_text("not known", timeout=15_000)
    assert admin_password() not in page.content()
