"""A host with the bridges of a site, a container engine's address translation, and a far end behind a NIC.

Bridges, addresses and translation rules are those that Docker makes; a container is a network namespace. What listens
says its name, so that a scan tells who answered.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from tests.support import scan
from tests.support.machine import Machine, eventually

NIC, PEER = "ens1", "far0"
HOST, FAR = "192.0.2.1", "192.0.2.2"
INTERNET, METADATA = "198.51.100.1", "169.254.169.254"
API, UI, GRPC, DATABASE, METRICS, SSH = 5000, 3000, 50051, 5432, 8080, 22
GO_UID = 562
PREFIX = "172.31"
# By network: the third part of its prefix, who is on it (the host is .1), and whether ports are published there.
NETWORKS: dict[str, tuple[int, tuple[str, ...], bool]] = {
    "tripod-db": (1, ("postgres", "flask-backend"), False),
    "tripod-app": (2, ("flask-backend", "webui"), False),
    "tripod-rpc": (3, ("flask-backend",), False),
    "tripod-api": (4, ("flask-backend",), True),
    "tripod-ui": (5, ("webui",), True),
}
LISTENS = {"postgres": DATABASE, "flask-backend": API, "webui": UI}
# What an operator publishes: the address on the host, the port, and the container's network.
PUBLISHED = (("127.0.0.1", API, "flask-backend", "tripod-api"), (HOST, UI, "webui", "tripod-ui"))

_SERVER = """
import selectors, socket, sys
waiting = selectors.DefaultSelector()
for place in sys.argv[2:]:
    address, _, port = place.rpartition("@")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(64)
    waiting.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in waiting.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(sys.argv[1].encode())
        connection.close()
"""


def address(network: str, who: str = "") -> str:
    """Return the address of a container on a network; the host's, where nobody is named."""
    third, members, _published = NETWORKS[network]
    return f"{PREFIX}.{third}.{2 + members.index(who) if who else 1}"


class Place:
    """A network namespace, which ends with the process that holds it."""

    def __init__(self) -> None:
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        eventually(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"), 5)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def within(self) -> list[str]:
        return ["nsenter", "--target", str(self.holder.pid), "--net"]

    def run(self, *words: str, text: str = "") -> str:
        done = subprocess.run([*self.within, *words], capture_output=True, text=True, input=text, check=False)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout


class Fenced:
    """The host, its containers and the far end.

    Args:
        host: Which stands for the host.
    """

    def __init__(self, host: Machine) -> None:
        self.host = host
        self.places: dict[str, Place] = {}
        self._servers: list[subprocess.Popen[str]] = []

    def make(self) -> None:
        """Make everything but the table."""
        self.places = {name: Place() for name in ("far", *LISTENS)}
        self._nic()
        for network, (_third, members, _published) in NETWORKS.items():
            self.host.run("ip", "link", "add", network, "type", "bridge")
            self.host.run("ip", "address", "add", f"{address(network)}/24", "dev", network)
            self.host.run("ip", "link", "set", network, "up")
            for who in members:
                self._join(network, who)
        for who, network in (("flask-backend", "tripod-api"), ("webui", "tripod-ui")):
            self.places[who].run("ip", "route", "add", "default", "via", address(network))
        self._engine()
        for who, port in LISTENS.items():
            self._serve(self.places[who].within, who, [("0.0.0.0", port)])
        host = [(address("tripod-rpc"), GRPC), ("127.0.0.1", METRICS), ("0.0.0.0", SSH)]
        self._serve(self.host.within, "host", host)
        self._serve(self.places["far"].within, "far", [("0.0.0.0", 80), ("0.0.0.0", 53)])

    def _nic(self) -> None:
        far = self.places["far"]
        self.host.run("ip", "link", "add", NIC, "type", "veth", "peer", "name", PEER, "netns", str(far.holder.pid))
        self.host.run("ip", "address", "add", f"{HOST}/24", "dev", NIC)
        self.host.run("ip", "link", "set", NIC, "up")
        for one in (f"{FAR}/24", f"{INTERNET}/32", f"{METADATA}/32"):
            far.run("ip", "address", "add", one, "dev", PEER)
        far.run("ip", "link", "set", PEER, "up")
        self.host.run("ip", "route", "add", "default", "via", FAR)
        # The one route with which the finding began.
        far.run("ip", "route", "add", f"{PREFIX}.0.0/16", "via", HOST)

    def _join(self, network: str, who: str) -> None:
        third = NETWORKS[network][0]
        outside, place = f"v{third}{who[:8]}", self.places[who]
        peer = ("peer", "name", network, "netns", str(place.holder.pid))
        self.host.run("ip", "link", "add", outside, "type", "veth", *peer)
        self.host.run("ip", "link", "set", outside, "master", network, "up")
        place.run("ip", "address", "add", f"{address(network, who)}/24", "dev", network)
        place.run("ip", "link", "set", network, "up")

    def _engine(self) -> None:
        """Forward and translate as an engine with published ports does."""
        for name in ("net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet"):
            self.host.run("sysctl", "-qw", f"{name}=1")
        rules = ["table ip engine {", "chain prerouting { type nat hook prerouting priority -100;"]
        for own, port, who, network in PUBLISHED:
            rules.append(
                f'iifname != "{network}" ip daddr {own} tcp dport {port} dnat to {address(network, who)}:{port}'
            )
        rules += ["}", "chain output { type nat hook output priority -100;"]
        for own, port, who, network in PUBLISHED:
            rules.append(f"ip daddr {own} tcp dport {port} dnat to {address(network, who)}:{port}")
        rules += ["}", "chain postrouting { type nat hook postrouting priority 100;"]
        for network, (third, _members, _published) in NETWORKS.items():
            rules.append(f'ip saddr {PREFIX}.{third}.0/24 oifname != "{network}" masquerade')
            rules.append(f'ip saddr 127.0.0.0/8 oifname "{network}" masquerade')
        self.nft("\n".join([*rules, "}", "}"]))

    def nft(self, text: str) -> None:
        """Change the packet filter as somebody else would."""
        subprocess.run([*self.host.within, "nft", "-f", "-"], input=text, text=True, check=True)

    def tables(self) -> Any:
        """Return the tables of others, without counts."""
        return self.host.run("nft", "-s", "list", "table", "ip", "engine")

    def table(self, counts: bool = True) -> str:
        """Return our table for people; empty where there is none."""
        command = [*self.host.within, "nft", *([] if counts else ["-s"]), "list", "table", "inet", "tripod"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def _serve(self, within: Sequence[str], name: str, places: Iterable[tuple[str, int]]) -> None:
        words = [f"{own}@{port}" for own, port in places]
        command = [*within, sys.executable, "-c", _SERVER, name, *words]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._servers.append(server)
        assert server.stdout
        assert server.stdout.readline() == "ready\n", name

    def scan(
        self, who: str, targets: Iterable[tuple[str, int]], uid: int = 0, patience: float = 1.5
    ) -> dict[tuple[str, int], str]:
        """Return who answers where, as seen from a container, the far end or the host."""
        within = self.host.within if who == "host" else self.places[who].within
        # Everything here says who it is; what says nothing was answered by nobody of ours.
        return {place: said for place, said in scan.connect(within, targets, uid, patience).items() if said}

    def frames(self, targets: Iterable[tuple[str, int]], patience: float = 1.5) -> set[tuple[str, int]]:
        """Return what answers a SYN that is sent to the NIC's MAC, whatever its address."""
        mac = self.host.ip("link", "show", "dev", NIC)[0]["address"]
        return scan.frames(self.places["far"].within, PEER, mac, FAR, targets, patience)

    def declare(self, **more: Any) -> Any:
        """Make the table, as the role does."""
        return self.host.module("firewall", **{**options(), **more})

    def close(self) -> None:
        for server in self._servers:
            server.kill()
            server.wait()
        for place in self.places.values():
            place.holder.kill()
            place.holder.wait()


def options() -> dict[str, Any]:
    """Return what the role requests for these networks."""
    networks: list[dict[str, Any]] = [
        {"name": name, "bridge": name, "subnets": [f"{PREFIX}.{third}.0/24"], "published": published}
        for name, (third, _members, published) in NETWORKS.items()
    ]
    for network in networks:
        if network["name"] == "tripod-rpc":
            network["host_ports"] = [{"address": address("tripod-rpc"), "port": GRPC}]
    return {
        "networks": networks,
        "processes": [{"name": "go-backend", "uid": GO_UID, "local_ports": [METRICS, GRPC]}],
    }
