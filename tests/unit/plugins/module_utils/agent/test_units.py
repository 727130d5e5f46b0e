"""The agent's units: what systemd makes of them, and that what containers mount is there before they start."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.resource import RUN, Request
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.units import unit_text

ROLES = Path(__file__).resolve().parents[5] / "roles"
SERVICES = Request(policy_uid=562).services


def values(unit: str, key: str) -> list[str]:
    return " ".join(re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)).split()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd; tests/metal has")
def test_systemd_takes_each_unit_without_a_word(tmp_path):
    paths = []
    for one in SERVICES:
        paths.append(tmp_path / f"{one.name}.service")
        paths[-1].write_text(unit_text(one, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_container_mounts_of_the_agents_is_there_before_the_engine_starts_containers():
    mounted = {
        str(value)
        for path in ROLES.glob("*/vars/main.yml")
        for value in (yaml.safe_load(path.read_text()) or {}).values()
        if re.fullmatch(rf"{RUN}/tripod-[a-z]+", str(value))
    }
    assert mounted == {f"{RUN}/tripod-policy"}
    for directory in mounted:
        [maker] = [one for one in SERVICES if directory.removeprefix(f"{RUN}/") in values(one.unit, "RuntimeDirectory")]
        assert "docker.service" in values(maker.unit, "Before")
        # At a restart of it, too: a container has the directory, not its name.
        assert values(maker.unit, "RuntimeDirectoryPreserve") == ["yes"]
        assert values(maker.unit, "WantedBy")


def test_no_unit_waits_for_one_that_waits_for_it():
    after = {one.name: set(values(one.unit, "After")) for one in SERVICES}
    for one in SERVICES:
        for other in values(one.unit, "Before"):
            after.setdefault(other.removesuffix(".service"), set()).add(f"{one.name}.service")

    def before(name: str, seen: tuple[str, ...] = ()) -> None:
        assert name not in seen, f"a circle: {' after '.join((*seen, name))}"
        for other in after.get(name, ()):
            before(other.removesuffix(".service"), (*seen, name))

    for name in list(after):
        before(name)
