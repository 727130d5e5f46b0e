"""Fixtures of the running site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext

from tests.support.browser import person
from tests.support.site import Client, Wire, login


@pytest.fixture(scope="module")
def api() -> Client:
    """The API as the administrator."""
    answer = login()
    assert answer.status_code == 200, answer.text
    return Client(answer.json()["access_token"])


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The far end of the lab NIC's cable."""
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    """A fresh browser."""
    with person() as context:
        yield context
