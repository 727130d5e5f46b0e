"""The broker on a site that did not request it: it comes by its variable and goes by it, and its data stays."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.site import (
    MEGABYTES,
    ROOT,
    SECRETS,
    cgroup,
    changed,
    container,
    docker,
    healthy,
    inspect,
    of_processes,
    playbook,
    result,
)

pytestmark = pytest.mark.full  # three runs of the playbook
SERVICE, UID, PORT = "rabbitmq", 565, 5671
NETWORK, VOLUME = "tripod-mq", "tripod-rabbitmq-data"
REQUESTED = ("-e", "tripod_rabbitmq_enabled=true")
# Of what the site has already nothing is made anew.
DEPLOY = ("playbooks/deploy.yml", "--tags", "docker_engine,service_users,pki,firewall,images,rabbitmq", *REQUESTED)


def there() -> bool:
    """Whether the site has a broker."""
    return bool(docker("ps", "--all", "--quiet", "--filter", f"name=^/{container(SERVICE)}$"))


@pytest.fixture(scope="module", autouse=True)
def broker() -> Iterator[None]:
    """A broker, which goes again with all that it left where the site had none."""
    stood = there()
    if not stood:
        done = playbook(*DEPLOY)
        assert done.returncode == 0, done.stdout + done.stderr
    yield
    if not stood:
        done = playbook("playbooks/deploy.yml", "--tags", f"docker_engine,firewall,{SERVICE}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not there()
        # What it kept stays until somebody removes it.
        docker("volume", "rm", VOLUME)
        docker("network", "rm", NETWORK)


def test_runs_healthy_alone_on_its_network_and_publishes_nothing() -> None:
    facts = inspect(SERVICE)
    assert healthy(SERVICE)
    assert facts["Config"]["User"] == f"{UID}:{UID}"
    assert facts["HostConfig"]["ReadonlyRootfs"] is True
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    assert not facts["HostConfig"]["CapAdd"]
    assert facts["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    assert facts["NetworkSettings"]["Ports"] in ({}, {f"{PORT}/tcp": None})
    assert list(facts["NetworkSettings"]["Networks"]) == [NETWORK]
    assert json.loads(docker("network", "inspect", NETWORK))[0]["Internal"] is True


def test_its_processes_and_limits_are_those_of_the_role() -> None:
    given = yaml.safe_load((ROOT / "roles" / SERVICE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    limits = cgroup(SERVICE)
    assert limits.memory == int(given["rabbitmq_memory"].removesuffix("M")) << 20
    assert (limits.cpus, limits.pids) == (given["rabbitmq_cpus"], given["rabbitmq_pids"])
    for status in of_processes(SERVICE, "status"):
        told = dict(line.split(":\t", 1) for line in status.decode().splitlines() if ":\t" in line)
        if told["Name"] != "runc:[2:INIT]":
            assert set(told["Uid"].split()) == {str(UID)}
    # It waits for its clients long before the kernel would end it.
    logged = subprocess.run(["docker", "logs", container(SERVICE)], capture_output=True, text=True, check=True).stdout
    assert f"of {limits.memory >> 20} MiB ({limits.memory} bytes) total" in logged


def test_its_image_is_small_and_over_the_base_of_the_others() -> None:
    of_broker, of_another = (
        json.loads(docker("image", "inspect", inspect(one)["Image"]))[0] for one in (SERVICE, "postgres")
    )
    assert of_broker["Size"] <= MEGABYTES[SERVICE] * 1_000_000
    layers = of_broker["RootFS"]["Layers"]
    assert len(layers) == 2
    assert layers[0] == of_another["RootFS"]["Layers"][0]
    root = Path("/proc", str(inspect(SERVICE)["State"]["Pid"]), "root")
    programs = {path.name for place in ("usr/bin", "usr/sbin", "usr/local/bin") for path in (root / place).iterdir()}
    assert programs.isdisjoint({"curl", "wget", "perl", "python3", "apt", "dpkg", "epmd", "socat"})
    for place in (root / "var/lib/dpkg/status.d").iterdir():
        assert (root / "usr/share/doc" / place.name / "copyright").exists(), place.name


@pytest.mark.parametrize("service", ["rabbitmq", "postgres", None])
def test_a_certificate_of_the_site_is_needed_for_its_port(service: str | None) -> None:
    (network,) = inspect(SERVICE)["NetworkSettings"]["Networks"].values()
    context = ssl.create_default_context(cafile=str(SECRETS / SERVICE / "ca.crt"))
    if service:
        context.load_cert_chain(SECRETS / service / "tls.crt", SECRETS / service / "tls.key")
    with (
        socket.create_connection((network["IPAddress"], PORT), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=SERVICE) as secured,
    ):
        assert secured.version() == "TLSv1.3"
        secured.sendall(b"AMQP\x00\x00\x09\x01")
        if service:
            # The way in is the certificate's name, and no password.
            answer = secured.recv(4096)
            assert b"EXTERNAL" in answer
            assert b"PLAIN" not in answer
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
                secured.recv(100)


def test_its_tools_reach_it_from_within() -> None:
    told = docker("exec", container(SERVICE), "rabbitmqctl", "--quiet", "list_users", "--no-table-headers")
    assert told.split("\t")[0] == "connector"


def test_another_run_changes_nothing() -> None:
    done = playbook("playbooks/deploy.yml", "--tags", SERVICE, *REQUESTED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert changed(result(done)) == []
