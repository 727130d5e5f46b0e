"""The running site as a test sees it: its API, its engine, its files and its wire."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.namespaces import go_to

API = "http://127.0.0.1:5000"
WEB = "http://127.0.0.1:3000"
METRICS = "http://127.0.0.1:8080"
ADMIN = "admin@example.com"
# Of every account that a test makes.
GUEST_PASSWORD = "four quiet herons wade"
SECRETS = Path("/etc/tripod/secrets")
PINS = Path("/sys/fs/bpf/tripod")
SERVICES = ("postgres", "flask-backend", "go-backend", "webui")
# How large their images may be, of a million bytes each, as `docker image inspect` counts them.
MEGABYTES = {"flask-backend": 120, "webui": 110, "go-backend": 70, "postgres": 130, "rabbitmq": 92}
NIC, PEER, NETNS = "tripod0", "tripod1", "tripod-lab"
ROOT = Path(__file__).resolve().parents[2]


def container(service: str) -> str:
    """Return the name of a service's container."""
    return f"tripod-{service}"


def docker(*words: str) -> str:
    """Return what the docker command prints."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def inspect(service: str) -> dict[str, Any]:
    """Return what Docker knows of a service's container."""
    return json.loads(docker("inspect", container(service)))[0]


def eventually(what: str, condition: Callable[[], Any], seconds: float = 60, every: float = 0.5) -> Any:
    """Return the condition's first true value, or fail naming what never came."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {value!r}")
        time.sleep(every)


def healthy(service: str) -> bool:
    """Whether Docker calls the service healthy now."""
    state = inspect(service)["State"]
    return state["Running"] and state["Health"]["Status"] == "healthy"


def of_processes(service: str, name: str) -> list[bytes]:
    """Return one file below ``/proc`` of each of the service's processes, but of those that ended meanwhile.

    A health check is a process of a moment, so one that was listed may be gone before it is looked at.
    """
    contents = []
    for pid in docker("top", container(service), "-eo", "pid").split()[1:]:
        with suppress(FileNotFoundError, ProcessLookupError):
            contents.append(Path(f"/proc/{pid}/{name}").read_bytes())
    assert contents, f"{service} has no process"
    return contents


@dataclass(frozen=True)
class Limits:
    """What the kernel lets the processes of a container take; None where there is no limit.

    Attributes:
        memory: Bytes.
        swap: Bytes beside that; None where the kernel does not count them, too.
        cpus: CPUs' worth of time.
        pids: Processes and threads.
    """

    memory: int | None
    swap: int | None
    cpus: float | None
    pids: int | None


def cgroup(service: str) -> Limits:
    """Return the limits of a service's control group, of either version."""
    pid = inspect(service)["State"]["Pid"]
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    top = Path("/sys/fs/cgroup")

    def value(controllers: str, *names: str) -> list[str]:
        """Return the words of the first of the files that is there."""
        for group, path in groups.items():
            if group == controllers or controllers in group.split(",") or (not group and len(groups) == 1):
                places = [top / group / path.lstrip("/") / name for name in names]
                return next((place.read_text().split() for place in places if place.exists()), [])
        raise AssertionError(f"no control group counts {controllers}: {groups}")

    memory = _limit(value("memory", "memory.max", "memory.limit_in_bytes"))
    swap = _limit(value("memory", "memory.swap.max"))
    if both := _limit(value("memory", "memory.memsw.limit_in_bytes")):
        swap = both - (memory or 0)
    quota = value("cpu", "cpu.max") or value("cpu", "cpu.cfs_quota_us") + value("cpu", "cpu.cfs_period_us")
    time = _limit(quota[:1])
    return Limits(memory, swap, time / int(quota[1]) if time else None, _limit(value("pids", "pids.max")))


def _limit(words: Sequence[str]) -> int | None:
    return None if not words or words[0] in ("max", "-1") else int(words[0])


def admin_password() -> str:
    """Return the generated password of the first administrator."""
    return (SECRETS / "flask-backend" / "admin_password").read_text(encoding="utf-8")


def login(email: str = ADMIN, password: str | None = None) -> requests.Response:
    """Return the answer to a login."""
    body = {"email": email, "password": admin_password() if password is None else password}
    return requests.post(f"{API}/api/v1/auth/login", json=body, timeout=10)


class Client:
    """The REST API with one person's token."""

    def __init__(self, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Return the answer to one call below ``/api/v1``."""
        return requests.request(method, f"{API}/api/v1{path}", json=body, headers=self.headers, timeout=15)

    def counters(self) -> dict[tuple[str, str], int]:
        """Return the packets on the lab NIC by verdict and reason."""
        answer = self("GET", "/dataplane/stats")
        answer.raise_for_status()
        nic = next(item for item in answer.json()["interfaces"] if item["name"] == NIC)
        return {(counter["verdict"], counter["reason"]): counter["packets"] for counter in nic["counters"]}


@contextmanager
def network_namespace(name: str, root: Path = Path("/")) -> Iterator[None]:
    """Move the calling thread into a network namespace; sockets it opens there stay there.

    Args:
        name: Of the namespace, or a whole path to it.
        root: Of the machine that it is on.
    """
    with open("/proc/thread-self/ns/net", "rb") as home, open(root / "run/netns" / name, "rb") as away:
        go_to(away.fileno())
        try:
            yield
        finally:
            go_to(home.fileno())


class Wire:
    """The far end of the lab NIC's cable.

    Args:
        root: Of the machine that the NIC is on.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        with network_namespace(NETNS, root):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self._socket.bind((PEER, 0))
        address = (root / "sys/class/net" / NIC / "address").read_text().strip()
        self._target = bytes.fromhex(address.replace(":", ""))

    def close(self) -> None:
        """Let go of the cable."""
        self._socket.close()

    def frame(self, source: str, payload: bytes = b"tripod-lab") -> bytes:
        """Return a UDP datagram from a source address, IPv4 or IPv6, to the lab NIC."""
        udp = struct.pack("!HHHH", 40000, 9, 8 + len(payload), 0) + payload
        if ":" in source:
            addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "2001:db8:18::1")
            return self._ethernet(0x86DD) + struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + addresses + udp
        addresses = socket.inet_aton(source) + socket.inet_aton("198.18.0.1")
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        return self._ethernet(0x0800) + header + udp

    def _ethernet(self, kind: int) -> bytes:
        return self._target + bytes.fromhex("020000000001") + struct.pack("!H", kind)

    def send(self, source: str, count: int = 1) -> None:
        """Send datagrams from a source address."""
        frame = self.frame(source)
        for _sent in range(count):
            self._socket.send(frame)

    @contextmanager
    def stream(self, source: str, per_second: int = 500, at_most: float = 300) -> Iterator[Stream]:
        """Send datagrams in the background until the block ends."""
        stream = Stream(self, source, per_second, at_most)
        stream.start()
        try:
            yield stream
        finally:
            stream.stop()


class Stream(threading.Thread):
    """A steady, bounded sender.

    Attributes:
        sent: Datagrams sent so far.
    """

    def __init__(self, wire: Wire, source: str, per_second: int, at_most: float) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self._wire, self._source = wire, source
        self._pause, self._end = 0.05, time.monotonic() + at_most
        self._burst = max(1, int(per_second * self._pause))
        self._stopping = threading.Event()

    def run(self) -> None:
        """Send bursts until stopped."""
        while not self._stopping.wait(self._pause) and time.monotonic() < self._end:
            self._wire.send(self._source, self._burst)
            self.sent += self._burst

    def stop(self) -> None:
        """End the sender and wait for it."""
        self._stopping.set()
        self.join()


def _checksum(header: bytes) -> int:
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def playbook(*arguments: str, inventory: str = "inventory/localhost.yml") -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook on the site as an operator does, its result readable by a program."""
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    return subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), "-i", inventory, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return what a finished ``playbook`` says of every task; other callbacks print around it."""
    return json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])[0]


def changed(reported: dict[str, Any]) -> list[str]:
    """Return the tasks that changed something, or would."""
    return [
        task["task"]["name"]
        for play in reported["plays"]
        for task in play["tasks"]
        if any(host.get("changed") for host in task["hosts"].values())
    ]
