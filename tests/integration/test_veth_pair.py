"""A veth pair made by the module, seen by iproute2 and crossed by packets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import lab
from tests.support.modules import Run, run_module

# One name each, so that two runs on one machine do not meet.
NAME, PEER, NETNS = (f"{word}{os.getpid() % 100000}" for word in ("vpa", "vpb", "vp-lab-"))
DISTRIBUTION = "/usr/bin/python3"
OPTIONS = {
    "name": NAME,
    "peer": PEER,
    "peer_netns": NETNS,
    "addresses": ["198.18.7.1/24", "2001:db8:7::1/64"],
    "peer_addresses": ["198.18.7.2/24", "2001:DB8:7::2/64"],
    "queues": 2,
    "mtu": 1480,
}


def interpreters() -> list[str]:
    """Return the tests' interpreter, and the distribution's where it has pyroute2: hosts have that one."""
    found = [sys.executable]
    if subprocess.run([DISTRIBUTION, "-c", "import pyroute2"], capture_output=True, check=False).returncode == 0:
        found.append(DISTRIBUTION)
    return found


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def veth_pair(interpreter: str = sys.executable, check: bool = False, **options: object) -> Run:
    return run_module("veth_pair", {**OPTIONS, **options}, check=check, interpreter=interpreter)


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    for words in (("link", "del", NAME), ("netns", "del", NETNS)):
        subprocess.run(["ip", *words], capture_output=True, check=False)
    Path("/run/tripod/netns", NETNS).unlink(missing_ok=True)


@pytest.mark.parametrize("interpreter", interpreters())
def test_a_pair_comes_carries_packets_and_goes(interpreter: str) -> None:
    predicted = veth_pair(interpreter, check=True)
    assert predicted.changed
    assert NAME not in ip("link")

    made = veth_pair(interpreter)
    assert made.result["changes"] == predicted.result["changes"]
    assert made.result["interface"]["addresses"] == ["198.18.7.1/24", "2001:db8:7::1/64"]
    assert "mtu 1480" in ip("-n", NETNS, "link", "show", PEER)
    assert len(os.listdir(f"/sys/class/net/{NAME}/queues")) == 4

    far = os.open(f"/run/netns/{NETNS}", os.O_RDONLY)
    with lab.inside(far):
        receiver = socket.create_server(("2001:db8:7::2", 0), family=socket.AF_INET6)
    os.close(far)
    with receiver, socket.create_connection(receiver.getsockname()[:2], timeout=5):
        receiver.accept()[0].close()

    assert not veth_pair(interpreter).changed
    assert not veth_pair(interpreter, check=True).changed

    assert veth_pair(interpreter, state="absent", check=True).changed
    assert veth_pair(interpreter, state="absent").changed
    assert NAME not in ip("link")
    assert NETNS not in ip("netns")
    assert not os.path.exists(f"/run/tripod/netns/{NETNS}")
    assert not veth_pair(interpreter, state="absent").changed


def test_only_the_difference_is_changed() -> None:
    veth_pair()
    ip("addr", "add", "198.18.7.9/24", "dev", NAME)
    ip("-n", NETNS, "link", "set", PEER, "mtu", "1400")
    outcome = veth_pair()
    assert outcome.result["changes"] == [
        f"{NETNS}/{PEER} mtu: 1400 -> 1480",
        f"{NAME} addresses: ['198.18.7.1/24', '198.18.7.9/24', '2001:db8:7::1/64'] -> "
        "['198.18.7.1/24', '2001:db8:7::1/64']",
    ]
    assert '-        "mtu": 1400' in outcome.output
    assert '+        "mtu": 1480' in outcome.output
    assert "198.18.7.9" not in ip("addr", "show", NAME)


def test_a_foreign_interface_stays_as_it_is() -> None:
    ip("link", "add", NAME, "type", "bridge")
    before = ip("link", "show", NAME)
    for state in ("present", "absent"):
        outcome = veth_pair(state=state)
        assert outcome.failed
        assert "a bridge interface" in outcome.result["msg"]
    assert ip("link", "show", NAME) == before
    assert NETNS not in ip("netns")


def test_a_namespace_that_was_there_stays() -> None:
    ip("netns", "add", NETNS)
    veth_pair()
    assert veth_pair(state="absent").result["changes"] == [f"{NAME} veth: {{'peer': '{NETNS}/{PEER}'}} -> absent"]
    assert NETNS in ip("netns")


def test_a_namespace_made_again_by_somebody_else_is_not_ours() -> None:
    veth_pair()
    ip("link", "del", NAME)
    ip("netns", "del", NETNS)
    ip("netns", "add", NETNS)
    assert not veth_pair(state="absent").changed
    assert NETNS in ip("netns")


def test_another_number_of_queues_is_refused_and_nothing_changes() -> None:
    veth_pair()
    outcome = veth_pair(queues=4, mtu=1400)
    assert outcome.failed
    assert "4 queues are requested, it was made with 2" in outcome.result["msg"]
    assert "mtu 1480" in ip("link", "show", NAME)


def test_without_a_namespace_both_ends_are_here() -> None:
    options = {"peer_netns": None, "peer_addresses": None}
    assert veth_pair(**options).changed
    assert f"{PEER}@{NAME}" in ip("link")
    assert not veth_pair(**options).changed
    assert veth_pair(state="absent", **options).changed
    assert PEER not in ip("link")
