"""What only a browser shows of the pages: where things are, what has the focus, what heals."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.browser import signed_in
from tests.support.site import GUEST_PASSWORD, WEB, eventually

TRACER = "**/assets/TracerPage-*.js"


def overflow(page: Page) -> int:
    """Return by how much the page is wider than its window (CSS pixels)."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_a_new_release_is_loaded_once_where_a_part_of_the_old_one_is_gone(browser):
    page = signed_in(browser)
    old = page.locator("script[type=module][src]").get_attribute("src")
    served: list[str] = []

    def renamed(route: Route) -> None:
        served.append(route.request.resource_type)
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace(old, "/assets/index-next.js"))

    def part(route: Route) -> None:
        if "document" in served:
            route.continue_()
        else:
            route.fulfill(status=404, content_type="application/json", body="{}")

    browser.route(f"{WEB}/", renamed)
    browser.route(f"{WEB}/tracer", renamed)
    browser.route("**/assets/index-next.js", lambda route: route.fulfill(response=route.fetch(url=f"{WEB}{old}")))
    browser.route(TRACER, part)
    page.get_by_role("link", name="Packet tracer").click()
    expect(page.get_by_role("heading", name="Packet tracer")).to_be_visible()
    assert served.count("document") == 1


def test_a_part_that_cannot_be_loaded_is_said_in_words_and_leaves_the_menu(browser):
    page = signed_in(browser)
    browser.route(TRACER, lambda route: route.abort())
    page.get_by_role("link", name="Packet tracer").click()
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    page.get_by_role("link", name="Users").click()
    expect(page.get_by_role("heading", name="Users")).to_be_visible()


@pytest.mark.parametrize("width", [320, 768, 1024, 1280])
def test_a_long_name_pushes_nothing_off_the_screen(browser, enrol, width):
    user = enrol(email=f"{'l' * 60}@example.com", full_name="N" * 200)
    page = signed_in(browser)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{WEB}/users")
    for name in ("Edit", "Delete"):
        box = page.get_by_role("button", name=f"{name} {user['email']}").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert overflow(page) <= 0
    page.get_by_role("button", name=f"Delete {user['email']}").click()
    expect(page.get_by_role("button", name="Delete user")).to_be_in_viewport(ratio=1)
    assert overflow(page) <= 0


def test_a_double_click_creates_one_account_and_no_alarm(browser, api):
    page = signed_in(browser)
    page.goto(f"{WEB}/users")
    page.get_by_role("button", name="Add user").click()
    page.get_by_label("Full name").fill("Twice")
    page.get_by_label("E-mail address").fill("twice@example.com")
    page.get_by_label("Password").fill(GUEST_PASSWORD)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Create user").dblclick()
    expect(page.get_by_role("dialog")).to_be_hidden()
    try:
        assert [url for url in sent if url.endswith("/users")] == [f"{WEB}/api/v1/users"]
    finally:
        for user in api("GET", "/users?per_page=100").json()["users"]:
            if user["email"] == "twice@example.com":
                api("DELETE", f"/users/{user['id']}")


def test_the_focus_goes_to_the_heading_of_each_page(browser):
    page = signed_in(browser)
    for name in ("Users", "Packet tracer", "Profile", "Dashboard"):
        page.get_by_role("link", name=name).first.click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_focused()


def test_the_sidebar_reaches_the_end_of_a_long_page_and_stays_in_the_window(browser, enrol):
    for number in range(18):
        enrol(email=f"guest{number}@example.com")
    page = signed_in(browser)
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(f"{WEB}/users")
    expect(page.get_by_text("guest17@example.com")).to_be_visible()
    height = page.evaluate("document.documentElement.scrollHeight")
    assert height > 900
    box = page.locator("#sidebar").bounding_box()
    assert box
    assert box["y"] + box["height"] == pytest.approx(height, abs=1)
    page.mouse.wheel(0, 5_000)
    expect(page.get_by_role("button", name="Sign out")).to_be_in_viewport(ratio=1)


def measured(page: Page) -> int:
    return int(page.get_by_test_id("rate-chart").get_attribute("data-points") or 0)


def test_the_chart_has_a_past_when_it_is_opened_and_none_is_lost_on_other_pages(browser, api):
    # A go-backend that has just begun has no past yet.
    eventually("a history", lambda: known_seconds(api) > 5, seconds=40)
    page = signed_in(browser)
    eventually("points", lambda: measured(page) > 5, seconds=3)
    page.get_by_role("link", name="Users").click()
    page.wait_for_timeout(12_000)
    page.get_by_role("link", name="Dashboard").click()
    page.wait_for_timeout(2_000)
    moments = last_moments(page, 12)
    assert "not measured" not in " ".join(moments)
    seconds = [datetime.strptime(moment[:8], "%H:%M:%S") for moment in moments]
    gaps = [(after - before).seconds for before, after in pairwise(reversed(seconds))]
    # A reading was taken every second meanwhile.
    assert max(gaps) <= 2, moments


def known_seconds(api) -> int:
    """Return of how many seconds the history knows what was counted."""
    interfaces = api("GET", "/dataplane/history?steps=60").json()["interfaces"]
    return max((sum(known > 0 for known in one["known_ms"]) for one in interfaces), default=0)


def last_moments(page: Page, count: int) -> list[str]:
    """Return what the chart tells of its last moments, the latest first."""
    chart = page.get_by_role("slider")
    chart.focus()
    told = []
    for _moment in range(count):
        page.keyboard.press("ArrowLeft")
        told.append(chart.get_attribute("aria-valuetext") or "")
    return told


def test_the_chart_tells_values_to_the_pointer_and_to_the_keyboard(browser, api):
    eventually("a history", lambda: known_seconds(api) > 5, seconds=40)
    page = signed_in(browser)
    chart, values = page.get_by_role("slider"), page.get_by_test_id("chart-values")
    eventually("points", lambda: measured(page) > 5, seconds=10)
    box = chart.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 40, box["y"] + 100)
    expect(values).to_contain_text("pass")
    page.mouse.move(0, 0)
    expect(values).to_contain_text("Point at the lines")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(values).to_contain_text("pass")
    chosen = values.locator("span").first.text_content()
    assert chosen
    assert chosen in (chart.get_attribute("aria-valuetext") or "")
    # The moment stays while the window moves on.
    page.wait_for_timeout(3_000)
    assert values.locator("span").first.text_content() == chosen


def test_a_verdict_goes_with_the_frame_it_is_of(browser):
    page = signed_in(browser)
    page.get_by_role("link", name="Packet tracer").click()
    page.get_by_role("button", name="Trace").click()
    expect(page.get_by_test_id("trace-verdict")).to_be_visible()
    page.get_by_label("Source address").fill("203.0.113.9")
    expect(page.get_by_test_id("trace-verdict")).to_be_hidden()
