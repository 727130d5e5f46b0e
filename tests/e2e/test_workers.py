"""Packets that the container takes past the network stack (AF_XDP), with the rights that its role gives it."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.e2e.test_containers import GO_CAPABILITIES
from tests.support.site import (
    METRICS,
    NETNS,
    NIC,
    PEER,
    Client,
    eventually,
    healthy,
    inspect,
    network_namespace,
    of_processes,
    playbook,
)

# Nobody's but the worker's, in the network of the lab NIC.
ADDRESS = "198.18.0.9"
WORKER = "answer"
DEPLOY = ("playbooks/deploy.yml", "--tags", "go_backend")
PACKETS = 200
NET_RAW, IPC_LOCK = 13, 14  # linux/capability.h
SO_NO_CHECK = 11
ECHO_REQUEST, ECHO_REPLY = 8, 0
SERVED = re.compile(rf'^tripod_worker_packets_total\{{.*verdict="sent",worker="{WORKER}"\}} (\S+)', re.MULTILINE)


@pytest.fixture(scope="module")
def served(api: Client) -> Iterator[None]:
    """A worker on the lab NIC, declared to the role, and a service of the policy that sends packets to it."""
    queues = len(list(Path(f"/sys/class/net/{NIC}/queues").glob("rx-*")))
    worker = {"name": WORKER, "nic": NIC, "queues": list(range(queues)), "handler": "echo"}
    given = {"go_backend_workers": [{**worker, "options": {"addresses": [ADDRESS]}}]}
    [policy] = [one["name"] for one in api("GET", "/policies").json()["policies"] if NIC in one["interfaces"]]
    path = f"/policies/{policy}"
    own = api("GET", path).json()["own"]
    services = [{"name": WORKER, "destination": ADDRESS, "action": f"afxdp:{WORKER}"}]
    try:
        done = playbook(*DEPLOY, "-e", json.dumps(given))
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        put = api("PUT", path, {"document": {**own, "services": services}})
        assert put.status_code == 200, put.text
        # The worker answers for ARP that it gets, and it gets IP alone.
        station = Path(f"/sys/class/net/{NIC}/address").read_text(encoding="ascii").strip()
        subprocess.run(["ip", "-n", NETNS, "neighbour", "replace", ADDRESS, "lladdr", station, "dev", PEER], check=True)
        yield
    finally:
        subprocess.run(["ip", "-n", NETNS, "neighbour", "delete", ADDRESS, "dev", PEER], check=False)
        back = api("PUT", path, {"document": own})
        done = playbook(*DEPLOY)
        assert (back.status_code, done.returncode) == (200, 0), back.text + done.stdout[-3000:]
    eventually("go-backend is healthy without workers", lambda: healthy("go-backend"))


def answered() -> int:
    """Return how many packets the worker has answered, by its metrics."""
    return sum(int(float(count)) for count in SERVED.findall(requests.get(f"{METRICS}/metrics", timeout=10).text))


def checksum(packet: bytes) -> int:
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def test_it_has_what_opening_sockets_takes_and_gives_it_back(served):
    kept = sorted(inspect("go-backend")["HostConfig"]["CapAdd"])
    assert kept == sorted([*GO_CAPABILITIES, "NET_RAW", "IPC_LOCK"])
    [status] = [one.decode() for one in of_processes("go-backend", "status") if b"Name:\tgo-backend" in one]
    effective = int(re.findall(r"^CapEff:\s+(\w+)", status, re.MULTILINE)[0], 16)
    assert not effective & (1 << NET_RAW | 1 << IPC_LOCK)
    assert re.search(r"^Seccomp:\s+2", status, re.MULTILINE), "the profile of Docker filters its system calls"


def test_pings_are_answered_past_the_stack(api, served):
    before, sent = api.counters().get(("redirect", "afxdp"), 0), answered()
    with network_namespace(NETNS):
        pinging = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with pinging:
        pinging.settimeout(5)
        pinging.connect((ADDRESS, 0))
        for number in range(PACKETS):
            request = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 7, number)
            pinging.send(request[:2] + struct.pack("!H", checksum(request)) + request[4:])
            # Behind the header of IPv4; the kernel has checked both checksums.
            kind, _code, _sum, _id, back = struct.unpack("!BBHHH", pinging.recv(100)[20:28])
            assert (kind, back) == (ECHO_REPLY, number)
    assert api.counters()["redirect", "afxdp"] - before == PACKETS
    assert answered() - sent == PACKETS


def test_datagrams_come_back_whole(api, served):
    with network_namespace(NETNS):
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asking:
        asking.settimeout(5)
        # A veth hands over datagrams whose checksum is still to be made.
        asking.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        asking.connect((ADDRESS, 7))
        for number in range(PACKETS):
            asking.send(b"%d" % number * 100)
            assert asking.recv(1 << 16) == b"%d" % number * 100


def test_over_rest_it_is_seen_captured_from_stopped_and_started(api, served):
    def ping() -> None:
        with network_namespace(NETNS):
            pinging = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        with pinging:
            pinging.connect((ADDRESS, 0))
            request = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 7, 1)
            pinging.send(request[:2] + struct.pack("!H", checksum(request)) + request[4:])

    def captured_by(call: Future[requests.Response]) -> bool:
        ping()
        return call.done()

    def state() -> str:
        [found] = [one for one in api("GET", "/workers").json()["workers"] if one["name"] == WORKER]
        return str(found["state"])

    assert state() == "running"
    [host] = api("GET", "/hosts").json()["hosts"]
    assert [one["workers"] for one in host["interfaces"] if one["name"] == NIC] == [[WORKER]]
    asked = {"worker": WORKER, "filter": "icmp", "packets": 1, "seconds": 10}
    with ThreadPoolExecutor(1) as pool:
        capturing = pool.submit(api, "POST", "/capture", asked)
        eventually("a packet is captured", lambda: captured_by(capturing), seconds=10)
        captured = capturing.result()
    assert (captured.status_code, captured.content[:4]) == (200, b"\x0a\x0d\x0d\x0a"), captured.text
    counted = [one for one in api("GET", f"/workers/stats?worker={WORKER}").json()["queues"] if one["worker"] == WORKER]
    assert sum(handler["packets"] for queue in counted for handler in queue["handlers"]) > 0
    assert api("POST", f"/workers/{WORKER}/stop").json()["state"] == "stopped"
    assert state() == "stopped"
    assert api("POST", f"/workers/{WORKER}/start").json()["state"] == "running"
