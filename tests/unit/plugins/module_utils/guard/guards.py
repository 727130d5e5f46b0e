"""A host that guards are armed on, and somebody who watches it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Change, Outcome
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import sessions
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.arm import Guard, protect
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.outcome import expire
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import (
    DIRECTORY,
    RUNTIME,
    Record,
    Restore,
    load,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.sessions import Session, Ssh

BOOT = "/proc/sys/kernel/random/boot_id"
STATE_FILE = state_store.path("nic")
HERE = Ssh("192.0.2.1", 40001, "192.0.2.10", 22)
AGAIN = replace(HERE, peer_port=40002)


def stat(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read()


def come_from(monkeypatch: pytest.MonkeyPatch, ssh: Ssh | None) -> None:
    """The operator is connected like this; how that is found out, test_sessions.py tries."""
    monkeypatch.setattr(sessions, "current", lambda _host: Session("ssh" if ssh else "local", ssh))


class Nic:
    """A resource whose state is a number, and which can refuse."""

    def __init__(self) -> None:
        self.ring = 512
        self.reapplied: list[int] = []
        self.refusals: list[Exception] = []

    def reapply(self, body: Mapping[str, Any], _host: Host) -> Outcome:
        if self.refusals:
            raise self.refusals.pop(0)
        self.reapplied.append(body["ring"])
        changes = [Change(("ens1", "ring"), self.ring, body["ring"])] if body["ring"] != self.ring else []
        self.ring = body["ring"]
        return Outcome(changes, None)


@contextmanager
def agent(host: Host, reappliers: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Somebody who watches the guards, as the agent does."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(0.01):
            expire(host, reappliers or {})

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def arm(host: Host, ring: int = 512, subject: str = "nic", **options: Any) -> Guard:
    with agent(host):
        guard = protect(host, subject, [], [Restore("nic", {"ring": ring})], "always", 60, **options)
    assert guard is not None
    return guard


def loaded(host: Host, guard: Guard) -> Record:
    record = load(host, guard.id)
    assert record is not None
    return record


def later(seconds: float) -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) + seconds


def left(host: Host) -> list[str]:
    """Everything that guards have left on the machine, but for their lock."""
    return [
        str(path.relative_to(host.root))
        for directory in (DIRECTORY, RUNTIME)
        for path in host.path(directory).rglob("*")
        if path.is_file() and path.name != "lock"
    ]
