"""Answers that last: bounded, and none in the place of a request."""

from __future__ import annotations

from tripod_api.lasting import Lasting


def test_there_are_no_more_of_them_than_may_be_and_each_leaves_once() -> None:
    lasting = Lasting(2)
    first, second = lasting.enter(), lasting.enter()
    assert first
    assert second
    assert lasting.enter() is None
    for _ in range(2):
        first()
    assert lasting.count == 1
    assert lasting.enter()
    assert lasting.enter() is None
