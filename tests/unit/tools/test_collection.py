"""What the artefact says of where its sources are."""

from __future__ import annotations

import pytest

from tools.collection import published
from tools.console import Failure


@pytest.mark.parametrize("address", ["https://git.example.com/tripod/baremetal", "http://192.0.2.1:3000/x"])
def test_an_address_that_everybody_can_follow_is_taken(address: str) -> None:
    assert published(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "file:///srv/tripod",
        "git@example.com:tripod/baremetal.git",
        "git.example.com/tripod",
        "https://user:secret@git.example.com/tripod",
        "https:///tripod",
        'https://git.example.com/"x',
        "https://git.example.com/a b",
    ],
)
def test_an_address_that_leads_nowhere_or_tells_too_much_is_refused(address: str) -> None:
    with pytest.raises(Failure, match="--repository: name where everybody finds the sources"):
        published(address)
