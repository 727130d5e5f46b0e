"""A converged site stays as it is, and says so before it is asked to do anything."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.site import ROOT, cgroup, changed, playbook, result
from tools.collection import build, export, link_dependencies


@pytest.mark.full
def test_the_installed_artefact_foretells_no_change_from_anywhere(tmp_path):
    """The scenario's step before this one has made the same run from the checkout, which changed nothing."""
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    elsewhere.mkdir()
    artefact = build(export(tmp_path / "export"), tmp_path / "out")
    link_dependencies(tree)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_COLLECTIONS_PATH": str(tree),
        "PWD": str(elsewhere),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    binaries = ROOT / ".venv" / "bin"
    install = [binaries / "ansible-galaxy", "collection", "install", "--no-deps", "-p", tree, artefact]
    subprocess.run(install, cwd=elsewhere, env=environment, check=True, capture_output=True)
    words = [
        binaries / "ansible-playbook",
        "-i",
        ROOT / "inventory" / "localhost.yml",
        "tripod.baremetal.site",
        "--check",
        "--diff",
    ]
    done = subprocess.run(words, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    # The import files go below the directory it is started in, and that one has none yet.
    assert changed(result(done)) == ["tripod.baremetal.marchproxy : Render the import files on the control node"]


@pytest.mark.full
def test_other_limits_reach_the_container_and_the_next_run_changes_nothing():
    deploy = ("playbooks/deploy.yml", "--tags", "webui")
    other = ("-e", "webui_memory=128M", "-e", "webui_cpus=0.5", "-e", "webui_pids=96")
    before = cgroup("webui")
    try:
        done = playbook(*deploy, *other)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        limits = cgroup("webui")
        assert (limits.memory, limits.cpus, limits.pids) == (128 << 20, 0.5, 96)
        assert changed(result(playbook(*deploy, *other))) == []
    finally:
        assert playbook(*deploy).returncode == 0
    assert cgroup("webui") == before
