"""The application on the host that was prepared for it: pinned to the NIC's node, and fed with packets from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.frames import IPV4, ethernet, ipv4
from tests.metal.guest import allowed
from tests.support.site import ADMIN, API, SERVICES, WEB, container, eventually

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("full_run")]
NIC, CABLE = "ens1", "igb0"
DROPPED = "203.0.113.7"
PACKETS = 300
PATIENCE = 900.0  # seconds for four containers to become healthy in emulation
# The guest has the engine, not its command; and a login costs seconds, so each question is one program.
INSPECT = """
import http.client, json, socket, sys
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/docker.sock")
connection.request("GET", f"/containers/{sys.argv[1]}/json")
print(connection.getresponse().read().decode())
"""
ASK = """
import json, sys, urllib.request
base, email, *paths = sys.argv[1:]
def ask(path, body=None, **headers):
    request = urllib.request.Request(base + path, body and json.dumps(body).encode(), headers)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
with open("/etc/tripod/secrets/flask-backend/admin_password") as file:
    token = ask("/api/v1/auth/login", {"email": email, "password": file.read()})["access_token"]
print(json.dumps([ask(path, Authorization=f"Bearer {token}") for path in paths]))
"""
Ask = Callable[..., list[Any]]


@pytest.fixture
def ask(host: Any) -> Ask:
    """Log in at a service and get what it answers, all from within the host, where alone its ports are published."""
    return lambda base, *paths: json.loads(
        host.check_output("python3 -c %s %s %s " + " ".join(paths), ASK, base, ADMIN)
    )


def inspect(host: Any, service: str) -> dict[str, Any]:
    return json.loads(host.check_output("python3 -c %s %s", INSPECT, container(service)))


def unhealthy(host: Any) -> list[str]:
    states = {service: inspect(host, service)["State"] for service in SERVICES}
    return [name for name, state in states.items() if state.get("Health", {}).get("Status") != "healthy"]


def dropped(ask: Ask) -> int:
    """Return the packets that the policy dropped on the NIC, as the API tells it."""
    [stats] = ask(API, "/api/v1/dataplane/stats")
    [nic] = [one for one in stats["interfaces"] if one["name"] == NIC]
    return sum(one["packets"] for one in nic["counters"] if (one["verdict"], one["reason"]) == ("drop", "list_drop"))


def filters_from_outside(ask: Ask, outside: Any) -> None:
    """See packets from outside dropped by the driver's program and told of by the API, to the last one."""
    cable = outside(CABLE)
    before = dropped(ask)
    # The emulated NIC loses what comes faster than the guest takes it.
    cable.send(*[ethernet(IPV4, ipv4(DROPPED), destination=cable.target)] * PACKETS, per_second=300)
    eventually("every packet is told of", lambda: dropped(ask) - before == PACKETS, 60)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_healthy_and_has_its_cpus_and_its_memory(host, service):
    found = inspect(host, service)
    assert found["State"]["Health"]["Status"] == "healthy"
    assert found["HostConfig"]["ReadonlyRootfs"]
    process = found["State"]["Pid"]
    assert allowed(host, process, "Cpus") == ("2-3" if service == "go-backend" else "0-1")
    assert allowed(host, process, "Mems") == ("1" if service == "go-backend" else "0-1")


def test_packets_from_outside_are_filtered_and_told_of(ask, outside):
    filters_from_outside(ask, outside)


def test_the_web_interface_leads_to_the_same_api(ask):
    assert ask(WEB, "/api/v1/auth/me") == ask(API, "/api/v1/auth/me")


def test_a_reboot_without_ansible_brings_the_application_back(host, vm, ask, outside):
    vm.reboot()
    eventually("every container is healthy", lambda: not unhealthy(host), PATIENCE, every=5)
    filters_from_outside(ask, outside)
