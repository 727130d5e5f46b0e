"""What the tests of huge pages share."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages import resource as hugepages

from .nodes import Kernel, files


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(hugepages, "_PAUSES", (0, 0))


@pytest.fixture
def kernel(machine):
    def make(available=None, **more):
        return Kernel(machine(files(**more)).root, available)

    return make
