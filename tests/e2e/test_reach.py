"""Who reaches whom on a site that stands: from outside, over the lab NIC, and between its services."""

from __future__ import annotations

import ipaddress
import json
import subprocess

import pytest

from tests.support import scan
from tests.support.site import NETNS, NIC, PEER, container, docker, eventually, inspect

API, CALLS, WEB, METRICS, GRPC, DATABASE = 5000, 50052, 3000, 8080, 50051, 5432
PORTS = (API, CALLS, WEB, METRICS, GRPC, DATABASE)
NETWORKS = ("tripod-app", "tripod-db", "tripod-rpc", "tripod-api", "tripod-ui")
LOOPBACK = ("127.0.0.1", "127.0.0.2")
GO_UID = 562
OUTSIDE = ("ip", "netns", "exec", NETNS)


def addresses(*within: str) -> dict[str, list[str]]:
    """Return the IPv4 addresses of a namespace by interface."""
    shown = json.loads(subprocess.run([*within, "ip", "-j", "-4", "address"], capture_output=True, check=True).stdout)
    return {one["ifname"]: [own["local"] for own in one["addr_info"]] for one in shown}


def of_containers() -> dict[str, str]:
    """Return whose each address of a container is."""
    return {
        network["IPAddress"]: service
        for service in ("postgres", "flask-backend", "webui")
        for network in inspect(service)["NetworkSettings"]["Networks"].values()
    }


def of_host() -> list[str]:
    return [own for owns in addresses().values() for own in owns if not ipaddress.ip_address(own).is_loopback]


def targets() -> list[tuple[str, int]]:
    return [(address, port) for address in (*of_host(), *of_containers()) for port in PORTS]


@pytest.fixture
def routed():
    """The far end of the NIC takes this host for its router, which is all that it once took."""
    (near,) = addresses()[NIC]
    # The prefixes from which Docker takes its networks.
    for prefix in ("172.16.0.0/12", "192.168.0.0/16"):
        subprocess.run([*OUTSIDE, "ip", "route", "replace", prefix, "via", near], check=True)
    yield
    for prefix in ("172.16.0.0/12", "192.168.0.0/16"):
        subprocess.run([*OUTSIDE, "ip", "route", "delete", prefix], check=True)


@pytest.mark.usefixtures("routed")
def test_from_the_nic_nothing_of_ours_answers():
    """What is published is published on the loopback."""
    assert scan.connect(OUTSIDE, targets()) == {}
    (far, *_others) = addresses(*OUTSIDE)[PEER]
    mac = subprocess.run(["cat", f"/sys/class/net/{NIC}/address"], capture_output=True, text=True, check=True).stdout
    every = [*targets(), *((address, port) for address in LOOPBACK for port in PORTS)]
    assert scan.frames(OUTSIDE, PEER, mac.strip(), far, every) == set()


def reached(within: tuple[str, ...], uid: int = 0) -> set[tuple[str, int]]:
    """Return which services answer, by name; the host's own are ``host``."""
    names = of_containers()
    return {(names.get(address, "host"), port) for address, port in scan.connect(within, targets(), uid)}


def test_services_reach_each_other_where_they_must_and_nowhere_else():
    api = {("flask-backend", API), ("flask-backend", CALLS)}

    def within(service: str) -> tuple[str, ...]:
        return ("nsenter", "--target", str(inspect(service)["State"]["Pid"]), "--net")

    own = {"postgres": {("postgres", DATABASE)}, "flask-backend": api, "webui": {("webui", WEB)}}
    found = {service: reached(within(service)) - own[service] for service in own}
    # Whoever is on one network with another reaches it, whichever of the two is meant to begin.
    assert found == {
        "postgres": api,
        "flask-backend": {("postgres", DATABASE), ("webui", WEB), ("host", GRPC)},
        "webui": api,
    }
    assert reached((), GO_UID) == {("host", GRPC)}
    on_loopback = [(LOOPBACK[0], port) for port in PORTS]
    assert set(scan.connect((), on_loopback, GO_UID)) == {(LOOPBACK[0], METRICS), (LOOPBACK[0], CALLS)}


@pytest.mark.parametrize("service", ["postgres", "flask-backend", "webui"])
def test_no_service_reaches_beyond_the_host(service):
    within = ("nsenter", "--target", str(inspect(service)["State"]["Pid"]), "--net")
    (far, *_others) = addresses(*OUTSIDE)[PEER]
    beyond = [("169.254.169.254", 80), ("1.1.1.1", 443), (far, 80)]
    begun = counted()
    assert scan.connect(within, beyond) == {}
    # Without a default route there is nothing to drop.
    if service != "postgres":
        assert counted() > begun


def counted() -> int:
    """Return how many packets of our networks to elsewhere were dropped."""
    listed = subprocess.run(["nft", "-j", "list", "table", "inet", "tripod"], capture_output=True, check=True).stdout
    rules = [one["rule"] for one in json.loads(listed)["nftables"] if "rule" in one]
    (rule,) = [one for one in rules if one.get("comment") == "tripod: our networks to elsewhere"]
    return sum(one["counter"]["packets"] for one in rule["expr"] if "counter" in one)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_has_a_bridge_of_its_name_and_a_way_out_only_where_a_port_is_published(network):
    shown = json.loads(docker("network", "inspect", network))[0]
    assert shown["Internal"] is (network not in ("tripod-api", "tripod-ui"))
    assert network in addresses()


def test_the_table_comes_back_when_somebody_removes_it():
    subprocess.run(["nft", "delete", "table", "inet", "tripod"], check=True)
    command = ["nft", "list", "table", "inet", "tripod"]
    eventually(
        "the table of the packet filter",
        lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0,
        seconds=30,
    )


@pytest.mark.parametrize("service", ["postgres", "flask-backend", "go-backend", "webui"])
def test_the_user_of_a_service_is_reserved_by_name(service):
    uid = inspect(service)["Config"]["User"].split(":")[0]
    named = subprocess.run(["getent", "passwd", uid], capture_output=True, text=True, check=True).stdout
    assert named.split(":")[0] == container(service)
    assert not 1000 <= int(uid) <= 60000
