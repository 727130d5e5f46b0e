"""Who listens on a port, read from the kernel's tables."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight import listeners
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.listeners import Listener, read_listeners
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.request import Port, Requirements
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.state import read

LABEL = "org.tripod.collection=tripod.baremetal"
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


@pytest.mark.parametrize(("pid", "parent", "ours"), [("42", "1", True), ("7", "42", True), ("7", "1", False)])
def test_the_front_is_ours_and_another_nginx_is_not(machine, monkeypatch, pid, parent, ours):
    monkeypatch.setattr(listeners, "list_containers", lambda *_words: [])
    files = {
        "/proc/net/tcp": TCP,
        "/run/tripod-nginx/nginx.pid": "42\n",
        f"/proc/{pid}/cmdline": "nginx: worker process\0",
        f"/proc/{pid}/comm": "nginx\n",
        f"/proc/{pid}/stat": f"{pid} (nginx) S {parent} 1 1 0",
        f"/proc/{pid}/cgroup": "0::/\n",
    }
    found = read(machine(files, {f"/proc/{pid}/fd/4": "socket:[111]"}), Requirements(ports=PORTS), LABEL, "/none")
    assert [holder.ours for listener, holder in found.holders.items() if listener.port == 3000] == [ours]


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
def test_the_holder_of_a_port_is_found_and_ours_are_known(machine, monkeypatch, containers, ours):
    requested = []

    def listed(*words):
        requested.append(words)
        return containers

    monkeypatch.setattr(listeners, "list_containers", listed)
    seen = read(machine(PROCESSES, DESCRIPTORS), Requirements(ports=PORTS), LABEL, "/run/engine.sock")
    assert requested == [("/run/engine.sock", LABEL)]
    found = {listener.port: holder for listener, holder in seen.holders.items()}
    assert [found[port].ours for port in (3000, 5000, 8080)] == ours
    assert str(found[3000]) == "process 41 (python3 -m http.server 'a b')"
    assert str(found[8081]) == "a process that cannot be seen from here"
    assert not found[8081].ours
