"""Fixtures of the running site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from tests.support.browser import person
from tests.support.site import GUEST_PASSWORD, Client, Wire, login


@pytest.fixture(scope="module")
def api() -> Client:
    """The API as the administrator."""
    answer = login()
    assert answer.status_code == 200, answer.text
    return Client(answer.json()["access_token"])


@pytest.fixture
def enrol(api: Client) -> Iterator[Callable[..., dict[str, Any]]]:
    """Make accounts that end with the test."""
    made: list[int] = []

    def one(**given: str) -> dict[str, Any]:
        answer = api("POST", "/users", {"password": GUEST_PASSWORD, "role": "viewer", "full_name": "Guest", **given})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return answer.json()

    yield one
    for number in made:
        api("DELETE", f"/users/{number}")


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
