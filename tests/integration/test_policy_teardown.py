"""What is left of a policy once its NIC is detached, the agent gone, and what the teardown names is removed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import yaml

from tests.integration.policy_site import GUEST, NIC, OTHER, PolicySite, api

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path, xdp_object):
    with closing(PolicySite(tmp_path, xdp_object)) as made:
        made.attach()
        made.start("watch", "policy")
        made.run("sh", "-c", "echo 198.51.100.7/32 > /run/fed.txt")
        made.declare({"lists": [{"name": "fed", "file": "/run/fed.txt"}]}, guard="never")
        yield made


def places(root: Path) -> list[str]:
    """What the role removes, of an application of another name, whose objects are elsewhere."""
    paths = yaml.safe_load((ROOT / "roles/teardown/vars/main.yml").read_text())["_teardown_paths"]
    known = {"{{ tripod_pin_root }}": str(root), "{{ tripod_config_dir }}/host.d": "/etc/tripod/host.d"}
    return [known.get(path, path) for path in paths if path in known or "{{" not in path]


def test_nothing_of_a_policy_is_left(site):
    site.put(api("192.0.2.0/24"))
    site.call("ban", address=OTHER, seconds=600)
    site.put(api("192.0.2.0/25"), confirm=60)
    site.call("revert", policy="edge")
    assert site.fate(GUEST) == ("drop", "list_drop")
    held = site.run("find", "/var/lib/tripod", "-type", "f")
    for part in ("/policy/edge/", "/lists/", "/bans.journal", "/guard/archive/"):
        assert part in held
    for process in site.processes.values():
        process.terminate()
        process.wait(30)
    site.processes.clear()
    detached = site.module("xdp_program", interface=NIC, state="detached", pin_root=str(site.root), guard="never")
    assert detached.changed, detached.output
    assert "policy" not in site.run("find", "/etc/tripod", "-type", "f")
    site.run("rm", "-r", "-f", *places(site.root))
    assert site.run("find", "/etc/tripod", "/var/lib/tripod", "-type", "f") == ""
    # Not in the BPF file system, which is the same for all; what is ours there is looked at below.
    run = site.run("find", "/run", "-xdev", "-path", "*tripod*", "!", "-type", "d").split()
    assert not [path for path in run if "policy" in path], run
    assert "xdp" not in site.ip("link", "show", "dev", NIC)[0]
    assert not site.root.exists()
