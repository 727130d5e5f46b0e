"""A person's browser on the web interface."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.support.site import ADMIN, WEB, admin_password

CHROMIUM = "/usr/bin/chromium"
# Chromium would otherwise look for its maker's hosts, which a closed network refuses.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def person(width: int = 1280, height: int = 900, home: Path | None = None) -> Iterator[BrowserContext]:
    """Open a fresh browser, of somebody with a home; its pages are tabs that share what a browser shares."""
    environment: dict[str, str | float | bool] = {**os.environ, **({"HOME": str(home)} if home else {})}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET, env=environment)
        try:
            context = browser.new_context(viewport={"width": width, "height": height})
            context.set_default_timeout(20_000)
            yield context
        finally:
            browser.close()


def sign_in(page: Page, password: str, email: str = ADMIN, base: str = WEB) -> None:
    """Fill the sign-in page in and send it."""
    page.goto(base)
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def signed_in(context: BrowserContext) -> Page:
    """Return a tab in which the administrator looks at the dashboard."""
    page = context.new_page()
    sign_in(page, admin_password())
    expect_dashboard(page)
    return page


def expect_dashboard(page: Page) -> None:
    """Wait for the dashboard, which only who is signed in sees."""
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
