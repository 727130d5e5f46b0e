"""What the tests of guards share."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import arm
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import detached

from .guards import BOOT, HERE, come_from, stat


@pytest.fixture
def host(machine, monkeypatch) -> Host:
    """A machine in its first boot, whose processes are this one's."""
    made = machine({BOOT: "first\n", f"/proc/{os.getpid()}/stat": stat(os.getpid())})
    monkeypatch.setattr(arm, "_ACKNOWLEDGE_SECONDS", 1.0)
    monkeypatch.setattr(detached, "POLL", 0.01)
    come_from(monkeypatch, HERE)
    return made
