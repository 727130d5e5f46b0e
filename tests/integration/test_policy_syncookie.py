"""SYN cookies from the XDP program, with the kernel's own TCP on both ends of a cable."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.integration import lab
from tests.support.policy_run import Loaded

PORT = 8443
POLICY = {"services": [{"name": "web", "protocol": "tcp", "port": PORT, "action": "syncookie"}]}
ADDRESSES = {4: ("198.51.100.1", "198.51.100.2", 24), 6: ("2001:db8:9::1", "2001:db8:9::2", 64)}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
SWITCH = Path("/proc/sys/net/ipv4/tcp_syncookies")
NEVER, ALWAYS = "0", "2"


@contextmanager
def listener(family: int) -> Iterator[socket.socket]:
    with socket.socket(FAMILIES[family], socket.SOCK_STREAM) as made:
        made.bind((ADDRESSES[family][0], PORT))
        made.listen()
        made.settimeout(5)
        yield made


def connect(laid: lab.Cable, family: int, open_: socket.socket) -> bytes:
    """Connect from the far end, and return what arrives of a greeting."""
    with lab.inside(laid.far):
        client = socket.socket(FAMILIES[family], socket.SOCK_STREAM)
    with client:
        client.settimeout(5)
        client.connect((ADDRESSES[family][0], PORT))
        served, _address = open_.accept()
        with served:
            client.sendall(b"hello")
            return served.recv(5)


def cookies_received() -> int:
    """Return how many connections the stack of this namespace made of a cookie that came back."""
    lines = Path("/proc/thread-self/net/netstat").read_text(encoding="ascii").splitlines()
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    return int(values[names.index("SyncookiesRecv")])


@pytest.fixture
def laid(cable: lab.Cable) -> lab.Cable:
    for near, far, length in ADDRESSES.values():
        more = ["nodad"] if ":" in near else []
        lab.ip("address", "add", f"{near}/{length}", "dev", cable.nic, *more)
        with lab.inside(cable.far):
            lab.ip("address", "add", f"{far}/{length}", "dev", cable.peer, *more)
    return cable


@contextmanager
def attached(content: bytes, laid: lab.Cable, program: str) -> Iterator[Loaded]:
    compiled = compile_policy(parse(POLICY), hz=250, seed=bytes(16))
    with Loaded(content, compiled, program) as loaded:
        link = bpf.create_xdp_link(loaded.program, socket.if_nametoindex(laid.nic), "generic")
        try:
            yield loaded
        finally:
            bpf.detach_link(link)


@pytest.mark.parametrize("program", ["tripod_xdp", "tripod_xdp_frags"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_client_is_served_by_the_cookie_that_the_program_sent(xdp_object, laid, family, program):
    SWITCH.write_text(ALWAYS, encoding="ascii")
    with attached(xdp_object.read_bytes(), laid, program) as loaded, listener(family) as open_:
        before = cookies_received()
        assert connect(laid, family, open_) == b"hello"
        assert cookies_received() == before + 1
        assert loaded.counters()["tx", "syn_cookie"] == 1


@pytest.mark.parametrize("family", [4, 6])
def test_the_stack_answers_where_the_kernel_gives_no_cookie(xdp_object, laid, family):
    SWITCH.write_text(NEVER, encoding="ascii")
    with attached(xdp_object.read_bytes(), laid, "tripod_xdp") as loaded, listener(family) as open_:
        assert connect(laid, family, open_) == b"hello"
        counted = loaded.counters()
        assert ("tx", "syn_cookie") not in counted
        assert counted["pass", "service_pass"] >= 2
