"""The host itself, read by testinfra: mounts, files, processes, sockets, interfaces."""

from __future__ import annotations

import json

import pytest

from tests.support.site import NETNS, NIC, PEER, PINS, SERVICES, container


def test_bpffs_is_mounted_and_the_pins_are_for_their_group(host):
    assert host.mount_point("/sys/fs/bpf").filesystem == "bpf"
    for path in (PINS, PINS / NIC, PINS / NIC / "maps"):
        directory = host.file(str(path))
        assert (directory.uid, directory.gid, directory.mode) == (0, 562, 0o750), path


def test_the_object_in_use_is_the_one_that_was_asked_for(host):
    state_file = json.loads(host.file(f"/etc/tripod/host.d/xdp-{NIC}.json").content_string)
    assert state_file["interface"] == NIC
    assert state_file["mode"] == "native"
    assert host.file("/var/lib/tripod/bpf/tripod_xdp.bpf.o").sha256sum == state_file["sha256"]
    assert state_file["object"].endswith(f"{state_file['sha256']}.bpf.o")


@pytest.mark.parametrize("port", [3000, 5000, 8080])
def test_http_is_on_the_loopback_alone(host, port):
    assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_grpc_is_on_its_own_network_alone(host):
    listening = [name for name in host.socket.get_listening_sockets() if name.endswith(":50051")]
    gateway = host.check_output("docker network inspect tripod-rpc --format '{{(index .IPAM.Config 0).Gateway}}'")
    assert listening == [f"tcp://{gateway}:50051"]


def test_the_database_is_nowhere_on_the_host(host):
    assert not [name for name in host.socket.get_listening_sockets() if name.endswith(":5432")]


def test_the_lab_nic_has_its_far_end_elsewhere(host):
    assert host.interface(NIC).exists
    assert "198.18.0.1" in host.interface(NIC).addresses
    assert not host.interface(PEER).exists
    assert NETNS in host.check_output("ip netns list")


@pytest.mark.parametrize("command", ["keep", "watch"])
def test_the_agent_runs_once(host, command):
    words = f"tripod-host {command} "
    assert len([process for process in host.process.filter(user="root") if words in process.args]) == 1


def test_the_agent_finds_everything_as_asked(host):
    status = host.run("/usr/local/sbin/tripod-host status")
    assert status.rc == 0, status.stdout
    assert f"xdp_policy-{NIC}" in status.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_containers_run_from_images_named_after_their_content(host, service):
    facts = host.docker(container(service)).inspect()
    repository, tag = facts["Config"]["Image"].split(":")
    assert repository == f"tripod/{service}"
    assert len(tag) == 12
    assert int(tag, 16) >= 0
