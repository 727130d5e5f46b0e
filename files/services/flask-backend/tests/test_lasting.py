"""Answers that last: bounded, and none in the place of a request."""

from __future__ import annotations

from threading import BoundedSemaphore

from tripod_api.lasting import Lasting, Turn


def free(places: BoundedSemaphore) -> bool:
    got = places.acquire(blocking=False)
    if got:
        places.release()
    return got


def test_a_request_gives_its_place_back_once_whether_it_lasts_or_not() -> None:
    places = BoundedSemaphore(1)
    with Turn(places):
        assert not free(places)
    assert free(places)
    with Turn(places) as turn:
        turn.leave()
        # Another request has it from now on, and the end of this one does not take it from that.
        assert places.acquire(blocking=False)
        turn.leave()
    assert not free(places)


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
