"""What is undone where a step fails."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.undo import Undo


def test_undo_goes_backwards_and_reports_what_it_could_not():
    done = []

    def fail() -> None:
        raise OSError(16, "Device or resource busy")

    undo = Undo()
    undo.add("first", lambda: done.append("first"))
    undo.add("second", fail)
    undo.add("third", lambda: done.append("third"))
    assert undo.run() == ["second ([Errno 16] Device or resource busy)"]
    assert done == ["third", "first"]
