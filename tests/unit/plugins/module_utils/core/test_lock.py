"""Who changes the host does so alone."""

from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import lock
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused


def test_the_second_is_told_who_was_first(machine):
    host = machine()
    refused = pytest.raises(Refused, match=rf"process {os.getpid()} has been changing this host for 0 s .* end it")
    with lock.alone(host), refused, lock.alone(host, patience=0):
        pass
    with lock.alone(host, patience=0):
        pass


def test_an_attempt_tells_whether_it_was_free(machine):
    host = machine()
    with lock.attempt(host) as first, lock.attempt(host) as second:
        assert (first, second) == (True, False)
    with lock.attempt(host) as third:
        assert third


def test_the_second_waits_for_the_first(machine):
    host, free = machine(), threading.Event()
    order = []

    def first() -> None:
        with lock.alone(host):
            free.set()
            threading.Event().wait(0.3)
            order.append("first")

    worker = threading.Thread(target=first)
    worker.start()
    free.wait(5)
    with lock.alone(host, patience=5):
        order.append("second")
    worker.join()
    assert order == ["first", "second"]


def test_looking_needs_no_lock(machine):
    host = machine()
    with lock.changing(host, check=True):
        assert host.list("/") == []
