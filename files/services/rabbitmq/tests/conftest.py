"""One broker for the tests that leave it as it was, and one of its own for each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from broker import Broker, empty


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that runs."""
    made = Broker(tmp_path_factory.mktemp("broker"))
    made.start()
    yield made
    made.stop()
    empty()


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Broker]:
    """A broker that was never started."""
    made = Broker(tmp_path)
    yield made
    if made.process and made.process.poll() is None:
        made.stop()
    empty()
