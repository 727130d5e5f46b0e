"""Looking at a host before anything is changed."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.findings import ERROR, WARNING, Finding, render
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight import preflight
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.preflight import (
    Command,
    FileSystem,
    Holder,
    Listener,
    Port,
    Requirements,
    Snapshot,
    Space,
    check,
    read,
    read_listeners,
)

GIB = 2**30
LABEL = "org.tripod.collection=tripod.baremetal"
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

# As printed by a kernel on a little-endian machine.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0200A8C0:0BB8 0300A8C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
"""
REST = "00:00000000 00000000     0        0"
TCP6 = f"""\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: {0:032X}:1388 {0:032X}:0000 0A 00000000:00000000 {REST} 333 1
   1: 0000000000000000FFFF00000100007F:1F90 {0:032X}:0000 0A 00000000:00000000 {REST} 444 1
   2: B80D0120000000000000000001000000:1F91 {0:032X}:0000 0A 00000000:00000000 {REST} 555 1
"""
UDP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
   0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 666 2 0000000000000000 0
"""


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
        ({"kernel": "5.10.0-30-amd64"}, ERROR, "kernel", "5.15 or newer"),
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
    [("5.15.0", True), ("5.15", True), ("5.4.300", False), ("6.1.0-28-cloud-amd64", True), ("10.0", True)],
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


def test_listeners_are_read_in_the_kernels_notation(machine):
    host = machine({"/proc/net/tcp": TCP, "/proc/net/tcp6": TCP6, "/proc/net/udp": UDP})
    assert list(read_listeners(host)) == [
        Listener("tcp", "127.0.0.1", 3000, "111"),
        Listener("tcp", "::", 5000, "333"),
        Listener("tcp", "127.0.0.1", 8080, "444"),
        Listener("tcp", "2001:db8::1", 8081, "555"),
        Listener("udp", "0.0.0.0", 53, "666"),
    ]


PROCESSES = {
    "/proc/net/tcp": TCP,
    "/proc/net/tcp6": TCP6,
    "/proc/41/cmdline": "python3\0-m\0http.server\0a b\0",
    "/proc/41/comm": "python3\n",
    "/proc/41/cgroup": "0::/user.slice\n",
    "/proc/42/cmdline": "docker-proxy\0-host-port\x005000\0",
    "/proc/42/comm": "docker-proxy\n",
    "/proc/42/cgroup": "0::/system.slice/docker.service\n",
    "/proc/43/cmdline": "/go-backend\0",
    "/proc/43/comm": "go-backend\n",
    "/proc/43/cgroup": "0::/system.slice/docker-0123abcd.scope\n",
}
DESCRIPTORS = {
    "/proc/41/fd/3": "socket:[111]",
    "/proc/41/fd/4": "/dev/null",
    "/proc/42/fd/4": "socket:[333]",
    "/proc/43/fd/5": "socket:[444]",
}
PORTS = (Port(3000, "web"), Port(5000, "api"), Port(8080, "go"), Port(8081, "hidden"))


@pytest.mark.parametrize(
    ("containers", "ours"),
    [
        ([], [False, False, False]),
        (
            [
                {"Id": "ffff", "Ports": [{"Type": "tcp", "PublicPort": 5000, "PrivatePort": 80}, {"PrivatePort": 1}]},
                {"Id": "0123abcd", "Ports": []},
            ],
            [False, True, True],
        ),
        ([{"Id": "ffff", "Ports": [{"Type": "tcp", "PublicPort": 5001, "PrivatePort": 80}]}], [False, False, False]),
        ([{"Id": "ffff", "Ports": [{"Type": "udp", "PublicPort": 5000, "PrivatePort": 80}]}], [False, False, False]),
    ],
)
def test_the_holder_of_a_port_is_found_and_told_from_our_containers(machine, monkeypatch, containers, ours):
    requested = []

    def listed(*words):
        requested.append(words)
        return containers

    monkeypatch.setattr(preflight, "list_containers", listed)
    seen = read(machine(PROCESSES, DESCRIPTORS), Requirements(ports=PORTS), LABEL, "/run/engine.sock")
    assert requested == [("/run/engine.sock", LABEL)]
    found = {listener.port: holder for listener, holder in seen.holders.items()}
    assert [found[port].ours for port in (3000, 5000, 8080)] == ours
    assert str(found[3000]) == "process 41 (python3 -m http.server 'a b')"
    assert str(found[8081]) == "a process that cannot be seen from here"
    assert not found[8081].ours


def test_a_host_is_read_from_its_files(machine):
    host = machine(
        {
            "/etc/os-release": 'NAME="Debian GNU/Linux"\n# no value\nVERSION_ID="12"\nID=debian\n',
            "/proc/sys/kernel/osrelease": "6.1.0-28-amd64\n",
            "/proc/meminfo": "MemTotal:        2048 kB\nMemFree:  1 kB\n",
            "/proc/self/status": "Name:\tx\nCapEff:\t0000000000001000\n",
            "/proc/sys/net/core/bpf_jit_enable": "0\n",
            "/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
            "/proc/filesystems": "nodev\tproc\nnodev\tbpf\n\text4\n",
            "/sys/class/net/ens1/mtu": "1500\n",
            "/var/lib/x": "",
        }
    )
    needs = Requirements(space=(Space("/var/lib/docker/overlay2", 1, "images"),), commands=(Command("ip", "iproute2"),))
    seen = read(host, needs, LABEL)
    assert (seen.distribution, seen.kernel, seen.memory) == ("debian 12", "6.1.0-28-amd64", 2 * 2**20)
    assert seen.missing_capabilities == ["CAP_SYS_ADMIN"]
    assert seen.jit is False
    assert seen.features == ["bpffs", "cgroup"]
    assert seen.interfaces == ["ens1"]
    assert seen.commands == []
    assert seen.file_systems["/var/lib/docker/overlay2"].path == "/var/lib"
    assert seen.holders == {}


def test_a_command_must_be_executable(machine):
    host = machine({"/usr/sbin/ip": ""})
    needs = Requirements(commands=(Command("ip", "iproute2"),))
    assert read(host, needs, LABEL).commands == []
    host.path("/usr/sbin/ip").chmod(0o755)
    assert read(host, needs, LABEL).commands == ["ip"]


def test_the_table_wraps_long_cells_and_has_no_trailing_blanks():
    table = render([Finding(ERROR, "memory", "1 GiB", "2 GiB", "a remedy whose words need more than a single line")])
    lines = table.splitlines()
    assert lines[0].split() == ["severity", "subject", "found", "needed", "remedy"]
    assert lines[2].split()[:6] == ["error", "memory", "1", "GiB", "2", "GiB"]
    assert len(lines) == 4
    assert lines[3].lstrip() == "than a single line"
    assert lines[2].index("a remedy") == lines[3].index("than")
    assert all(line == line.rstrip() for line in lines)
