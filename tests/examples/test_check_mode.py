"""Each example as an operator would try it first: copied, and run in check mode, where nothing of ours is yet.

The example's hosts are this machine, in namespaces with a NIC of each name that the example gives. What such a NIC or
this kernel has not got is left out of what is requested; unit tests hold the examples' NICs against recorded ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import examples
from tests.support.fresh import ansible_playbook, fresh_machine
from tests.support.machine import Machine

# Settings that a veth NIC has.
OF_A_VETH = {"name", "up", "mtu", "txqueuelen", "features", "irq", "xps"}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with fresh_machine() as made:
        yield made


def stand_ins(name: str) -> dict[str, Any]:
    """Return an inventory that makes this machine of an example's hosts."""
    hosts = {}
    for host, said in examples.variables(name).items():
        requested = [{key: nic[key] for key in nic if key in OF_A_VETH} for nic in said.get("nic_interfaces", [])]
        hosts[host] = {
            "ansible_connection": "local",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "nic_interfaces": requested,
            # For the others a kernel must have been built.
            "cpu_isolation_isolation": ["managed_irq"],
        }
    return {"tripod": {"hosts": hosts}}


def state(machine: Machine) -> dict[str, Any]:
    """Return what a run could change."""
    links = machine.ip("link", "show")
    return {
        # Not all flags: a carrier comes by itself, somewhat later.
        "links": {link["ifname"]: (link["mtu"], link["txqlen"], "UP" in link["flags"]) for link in links},
        "etc": machine.run("find", "/run/upper", "-type", "f", "-exec", "sha256sum", "{}", "+"),
        "boot": machine.run("sha256sum", "/boot/grub/grub.cfg"),
        "pages": machine.run("cat", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"),
        "interval": machine.run("cat", "/proc/sys/vm/stat_interval"),
        "ours": machine.run("sh", "-c", "ls -d /usr/local/lib/tripod /var/lib/tripod /run/tripod-* 2>&1 || true"),
    }


@pytest.mark.parametrize("name", examples.NAMES)
def test_an_example_runs_in_check_mode_and_changes_nothing(name: str, machine: Machine, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(examples.FOLDER / name, copy)
    # In check mode it may still be missing.
    if compiled := os.environ.get("TRIPOD_XDP_OBJECT"):
        shutil.copy(compiled, copy / "tripod_xdp.bpf.o")
    (tmp_path / "here.json").write_text(json.dumps(stand_ins(name)), encoding="utf-8")
    said = examples.variables(name)
    for number, nic in enumerate(sorted(set().union(*map(examples.nics, said.values())))):
        machine.cable(nic, f"far{number}", queues=4)
    before, files = state(machine), set(copy.rglob("*"))

    words = [examples.playbooks()[name], "-i", "hosts.yml", "-i", "../here.json", "--check", "--diff"]
    done = ansible_playbook(machine, words, copy)
    assert done.returncode == 0, done.stdout + done.stderr
    recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=0 ", done.stdout, re.MULTILINE)
    assert {host for host, changed in recap if int(changed)} == said.keys(), done.stdout
    assert state(machine) == before
    assert set(copy.rglob("*")) == files
