"""The VM's pure parts: the command line, the archive of the guest's files, the inventory."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tools.console import Failure
from tools.vm import base, hardware
from tools.vm.machine import Machine, inventory

DESCRIPTORS = {nic.name: [f"@{nic.name}.{queue}@" for queue in range(nic.queues)] for nic in hardware.NICS}


def command(kvm=False):
    return hardware.command(["qemu"], Path("/checkout/vm1"), 2220, DESCRIPTORS, kvm)


def values(words, option):
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def test_every_device_names_its_bus():
    devices = values(command(), "-device")
    assert [device for device in devices if "bus=" not in device] == []


def test_igb_and_vmxnet3_are_behind_the_expander_of_node_1():
    devices = values(command(), "-device")
    assert "pxb-pcie,id=node1,bus=pcie.0,bus_nr=0x80,numa_node=1" in devices
    ports = [
        re.search(r"id=(\w+)", device)[1] for device in devices if "pcie-root-port" in device and "bus=node1" in device
    ]
    plugged = {device.split(",")[0]: re.search(r"bus=([\w.]+)", device)[1] for device in devices}
    assert [plugged["igb"], plugged["vmxnet3"]] == ports
    assert plugged["virtio-net-pci"] == "pcie.0"


def test_the_nodes_share_out_cpus_and_memory():
    words = command()
    assert values(words, "-numa") == [
        "node,nodeid=0,cpus=0-1,memdev=memory0",
        "node,nodeid=1,cpus=2-3,memdev=memory1",
        "dist,src=0,dst=1,val=21",
    ]
    assert values(words, "-smp") == ["4,sockets=2,cores=2,threads=1"]
    assert values(words, "-m") == ["4G"]


def test_ssh_is_forwarded_from_the_loopback_alone():
    assert "user,id=management,hostfwd=tcp:127.0.0.1:2220-:22" in values(command(), "-netdev")


def test_every_queue_of_every_tap_is_handed_over():
    text = " ".join(values(command(), "-netdev"))
    assert all(mark in text for marks in DESCRIPTORS.values() for mark in marks)


def test_the_control_socket_has_a_short_path():
    assert values(command(), "-qmp") == ["unix:qmp.sock,server=on,wait=off"]


@pytest.mark.parametrize(("kvm", "accelerator", "cpu"), [(False, "tcg,thread=multi", "max"), (True, "kvm", "host")])
def test_the_accelerator(kvm, accelerator, cpu):
    assert (values(command(kvm), "-accel"), values(command(kvm), "-cpu")) == ([accelerator], [cpu])


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)", (11, 1)),
        ("QEMU emulator version 7.2.15", (7, 2)),
        ("", ()),
    ],
)
def test_qemus_version(text, version):
    assert base.qemu_version(text) == version


def test_the_guests_files_are_roots_and_secrets_of_sudo_are_closed():
    with tarfile.open(fileobj=io.BytesIO(base.guest_archive("ssh-ed25519 KEY\n"))) as archive:
        members = {member.name: member for member in archive}
        key = archive.extractfile("etc/ssh/authorized_keys").read()
    assert key == b"ssh-ed25519 KEY\n"
    assert {member.uid for member in members.values()} == {0}
    assert members["etc/sudoers.d/admin"].mode == 0o440
    assert "etc/default/grub" in members


def apt(monkeypatch, *targets):
    """Have apt tell of these index targets, and nobody name a mirror."""
    for archive in ("DEBIAN", "DEBIAN_SECURITY"):
        monkeypatch.delenv(f"TRIPOD_{archive}_MIRROR", raising=False)
    reported = subprocess.CompletedProcess([], 0, "".join(f"{target}\n" for target in targets), "")
    monkeypatch.setattr(subprocess, "run", lambda *_words, **_options: reported)


def test_the_mirror_is_the_one_that_apt_uses(monkeypatch):
    apt(monkeypatch, "Debian-Security|http://mirror.test/security/", "Debian|http://mirror.test/debian/")
    assert base.mirror("Debian") == "http://mirror.test/debian"
    assert base.mirror("Debian-Security") == "http://mirror.test/security"


def test_a_named_mirror_comes_before_that_of_apt(monkeypatch):
    apt(monkeypatch, "Debian|http://mirror.test/debian/")
    monkeypatch.setenv("TRIPOD_DEBIAN_MIRROR", "http://other.test/debian")
    assert base.mirror("Debian") == "http://other.test/debian"


def test_without_a_mirror_the_way_out_is_told(monkeypatch):
    apt(monkeypatch, "Ubuntu|http://mirror.test/ubuntu/")
    with pytest.raises(Failure, match=r"apt knows no archive Debian-Security: .* TRIPOD_DEBIAN_SECURITY_MIRROR"):
        base.mirror("Debian-Security")


def test_another_key_is_no_other_recipe(monkeypatch):
    apt(monkeypatch, "Debian|http://mirror.test/debian/", "Debian-Security|http://mirror.test/security/")
    before = base._guest_recipe()
    assert base._guest_recipe() == before
    monkeypatch.setattr(base, "PACKAGES", f"{base.PACKAGES},less")
    assert base._guest_recipe() != before


def test_the_inventory_speaks_for_itself():
    found = yaml.safe_load(inventory("vm1", Path("/check out/vm1"), 2220))["tripod"]["hosts"]["vm1"]
    assert (found["ansible_host"], found["ansible_port"], found["ansible_user"]) == ("127.0.0.1", 2220, "admin")
    assert "-o UserKnownHostsFile='/check out/vm1/known_hosts'" in found["ansible_ssh_common_args"]


@pytest.mark.parametrize("name", ["base", "", "a/b", "..", "x" * 33])
def test_a_name_that_would_leave_its_directory_is_refused(name):
    with pytest.raises(Failure, match="cannot name a VM"):
        Machine(name)
