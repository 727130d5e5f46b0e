"""A person in a browser: signs in, and sees packets move while they are sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import person, sign_in
from tests.support.site import NIC, admin_password, eventually


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh browser on the web interface."""
    with person() as context:
        yield context.new_page()


def rate(page: Page, verdict: str) -> float:
    shown = page.get_by_test_id(f"rate-{verdict}").get_attribute("data-value")
    return float(shown) if shown else -1.0


def test_a_wrong_password_is_refused_in_words(page):
    sign_in(page, "not-the-password")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_person_sees_live_rates_change_with_the_traffic(page, wire):
    sign_in(page, admin_password())
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    expect(page.get_by_text(NIC).first).to_be_visible()
    eventually("the drop rate at rest", lambda: 0 <= rate(page, "drop") < 50, seconds=30)
    with wire.stream("203.0.113.7", per_second=400):
        eventually("a drop rate near 400 packets/s", lambda: 200 < rate(page, "drop") < 800, seconds=30)
    eventually("the drop rate at rest again", lambda: 0 <= rate(page, "drop") < 50, seconds=30)
    with wire.stream("198.51.100.1", per_second=400):
        eventually("a pass rate near 400 packets/s", lambda: 200 < rate(page, "pass") < 800, seconds=30)


def test_the_tracer_tells_a_person_which_rule_decides(page, wire):
    sign_in(page, admin_password())
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.get_by_role("link", name="Packet tracer").click()
    page.get_by_role("tab", name="Paste hex").click()
    page.get_by_label("Frame in hex").fill(wire.frame("203.0.113.7").hex())
    page.get_by_role("button", name="Trace").click()
    expect(page.get_by_test_id("trace-path").get_by_role("listitem")).to_contain_text("acl")


def test_the_session_ends_with_the_sign_out(page):
    sign_in(page, admin_password())
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
