"""The system's own tools for drivers: the real ones, and what is said where they fail."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot import driver_tools
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.driver_tools import LiveDriverTools
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink


def test_asks_the_real_drivers():
    names = {link.name for link in netlink.links()}
    assert {nic.name for nic in LiveDriverTools().nics()} <= names


def test_a_command_that_is_missing_names_its_package(monkeypatch):
    with pytest.raises(Impossible, match="install kmod and initramfs-tools"):
        driver_tools._run(["tripod-has-no-such-command"])


def test_what_update_initramfs_said_is_in_the_error(monkeypatch):
    real = driver_tools._run
    asked = []

    def run(command):
        asked.append(command)
        return real(["sh", "-c", "true" if "6.1" in command else "echo disk full >&2; exit 1"])

    monkeypatch.setattr(driver_tools, "_run", run)
    with pytest.raises(ApplyFailed, match=r"update-initramfs failed for 6\.2 \(1\): disk full"):
        LiveDriverTools().update_initramfs(["6.1", "6.2", "6.3"])
    assert asked == [["update-initramfs", "-u", "-k", release] for release in ("6.1", "6.2")]
