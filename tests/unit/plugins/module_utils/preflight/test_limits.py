"""Whether a host can take a plan: each shortcoming is a finding with its remedy."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.findings import ERROR, WARNING
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.limits import check
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.listeners import Holder, Listener
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.request import (
    Command,
    Port,
    Requirements,
    Space,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.state import FileSystem, Snapshot

GIB = 2**30
GOOD = Snapshot(
    distribution="debian 13",
    architecture="x86_64",
    kernel="6.12.9-amd64",
    memory=4 * GIB,
    jit=True,
    interfaces=("ens1", "lo"),
    features=("btf", "bpffs", "cgroup"),
    commands=("ip",),
)
NEEDS = Requirements(memory=2 * GIB, interfaces=("ens1",), commands=(Command("ip", "iproute2"),))
WEB = Port(3000, "webui", variable="webui_port")
FOREIGN = Holder(4242, "python3 -m http.server 3000")


def findings(needs=NEEDS, **seen):
    return check(needs, dataclasses.replace(GOOD, **seen))


def test_a_good_host_has_no_findings():
    assert findings() == []


@pytest.mark.parametrize(
    ("seen", "severity", "subject", "words"),
    [
        ({"distribution": "alpine 3.20"}, ERROR, "distribution", "debian 12, debian 13"),
        ({"distribution": ""}, ERROR, "distribution", "no /etc/os-release"),
        ({"distribution": "ubuntu 24.04"}, WARNING, "distribution", "untested"),
        ({"architecture": "riscv64"}, ERROR, "architecture", "x86_64, aarch64"),
        ({"kernel": "5.10.0-30-amd64"}, ERROR, "kernel", "6.1 or newer"),
        ({"memory": GIB}, ERROR, "memory", "2 GiB"),
        ({"missing_capabilities": ["CAP_NET_ADMIN"]}, ERROR, "privileges", "without CAP_NET_ADMIN"),
        ({"interfaces": ("lo", "enp1s0")}, ERROR, "interface ens1", "absent; there are lo, enp1s0"),
        ({"features": ("bpffs", "cgroup")}, ERROR, "kernel feature btf", "CONFIG_DEBUG_INFO_BTF"),
        ({"features": ("btf", "cgroup")}, ERROR, "kernel feature bpffs", "CONFIG_BPF_SYSCALL"),
        ({"features": ("btf", "bpffs")}, ERROR, "kernel feature cgroup", "mount cgroup2"),
        ({"jit": False}, WARNING, "BPF compiler", "bpf_jit_enable"),
        ({"commands": ()}, ERROR, "command ip", "install the package iproute2"),
    ],
)
def test_each_shortcoming_is_one_finding_with_its_remedy(seen, severity, subject, words):
    (finding,) = findings(**seen)
    assert (finding.severity, finding.subject) == (severity, subject)
    assert words in f"{finding.found} {finding.limit} {finding.remedy}"
    assert all(dataclasses.astuple(finding))


@pytest.mark.parametrize(
    ("kernel", "enough"),
    [
        ("6.1.0", True),
        ("6.1", True),
        ("6.0.19", False),
        ("5.18.0", False),
        ("5.4.300", False),
        ("6.1.0-28-cloud-amd64", True),
        ("10.0", True),
    ],
)
def test_kernel_releases_are_compared_as_numbers(kernel, enough):
    assert (findings(kernel=kernel) == []) is enough


def test_an_interface_that_will_be_made_is_not_missed():
    assert findings(dataclasses.replace(NEEDS, interfaces=("lab0",), pending_interfaces=("lab0",))) == []


def test_everything_is_reported_at_once_and_errors_come_first():
    found = findings(jit=False, memory=0, kernel="4.19", interfaces=())
    assert [one.severity for one in found] == [ERROR, ERROR, ERROR, WARNING]


def test_a_port_of_somebody_else_names_process_and_variable():
    needs = dataclasses.replace(NEEDS, ports=(WEB,))
    (finding,) = findings(needs, holders={Listener("tcp", "0.0.0.0", 3000, "1"): FOREIGN})
    assert finding.subject == "port 3000/tcp (webui)"
    assert finding.found == "process 4242 (python3 -m http.server 3000) listens on 0.0.0.0:3000"
    assert finding.remedy == "stop it, or set webui_port to another port"


@pytest.mark.parametrize(
    ("desired", "listener", "collides"),
    [
        (WEB, Listener("tcp", "0.0.0.0", 3000, "1"), True),
        (WEB, Listener("tcp", "127.0.0.1", 3000, "1"), True),
        (WEB, Listener("tcp", "::", 3000, "1"), True),
        (WEB, Listener("tcp", "::1", 3000, "1"), False),
        (WEB, Listener("udp", "0.0.0.0", 3000, "1"), False),
        (WEB, Listener("tcp", "0.0.0.0", 3001, "1"), False),
        (Port(3000, "webui", address="127.0.0.1"), Listener("tcp", "192.0.2.1", 3000, "1"), False),
        (Port(3000, "webui", address="127.0.0.1"), Listener("tcp", "127.0.0.1", 3000, "1"), True),
        (Port(3000, "webui", address="192.0.2.1"), Listener("tcp", "0.0.0.0", 3000, "1"), True),
        (Port(3000, "webui", address="::"), Listener("tcp", "192.0.2.1", 3000, "1"), True),
    ],
)
def test_a_port_collides_where_the_kernel_would_refuse_it(desired, listener, collides):
    found = findings(dataclasses.replace(NEEDS, ports=(desired,)), holders={listener: FOREIGN})
    assert bool(found) is collides


def test_a_port_of_our_own_container_is_no_finding():
    holder = dataclasses.replace(FOREIGN, ours=True)
    needs = dataclasses.replace(NEEDS, ports=(WEB,))
    assert findings(needs, holders={Listener("tcp", "::", 3000, "1"): holder}) == []


def test_two_services_cannot_share_a_port():
    needs = dataclasses.replace(NEEDS, ports=(WEB, Port(3000, "api", variable="api_port"), Port(3000, "dns", "udp")))
    (finding,) = findings(needs)
    assert (finding.subject, finding.found) == ("port 3000/tcp (api)", "also that of webui")


def test_space_on_one_file_system_is_added_up():
    needs = dataclasses.replace(
        NEEDS, space=(Space("/var/lib/a", 3 * GIB, "images"), Space("/var/lib/b", 2 * GIB, "data"), Space("/c", 1, "c"))
    )
    one, other = FileSystem("/var/lib", 7, 4 * GIB), FileSystem("/", 8, GIB)
    (finding,) = findings(needs, file_systems={"/var/lib/a": one, "/var/lib/b": one, "/c": other})
    assert finding.subject == "disk at /var/lib"
    assert finding.found == "4 GiB free"
    assert finding.limit == "5 GiB: images 3 GiB, data 2 GiB"
    assert finding.remedy.startswith("free 1 GiB")
