"""The hosts that all tests here share, made once: what one test does is there for the next."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.fleet import Api, Fleet
from tests.support.fleet import fleet as two_hosts
from tests.support.machine import on_disk


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Two hosts on which nothing of ours is."""
    assert os.geteuid() == 0, "they are made of namespaces: run these tests as root"
    with on_disk() as folder, two_hosts(folder) as made:
        yield made


@pytest.fixture
def api(fleet: Fleet) -> Api:
    """The first host's API."""
    return fleet.hosts["first"].api()
