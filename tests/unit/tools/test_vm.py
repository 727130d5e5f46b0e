"""The VM without its QEMU: the command line, the archive of the guest's files, the inventory, what is said to QEMU."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest
import yaml

from tools.console import Failure
from tools.vm import base, hardware, qmp, snapshots
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


def test_the_disk_is_one_that_holds_snapshots():
    [disk] = values(command(), "-blockdev")
    assert disk.startswith("qcow2,node-name=disk,")
    assert "file.filename=/checkout/vm1/disk.qcow2" in disk
    assert "virtio-blk-pci,drive=disk,bus=pcie.0,addr=0x3" in values(command(), "-device")


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
    told = r"lists of Ubuntu, and none of Debian-Security: add that archive .* TRIPOD_DEBIAN_SECURITY_MIRROR"
    with pytest.raises(Failure, match=told):
        base.mirror("Debian-Security")


def test_before_the_first_update_another_way_out_is_told(monkeypatch):
    apt(monkeypatch)
    with pytest.raises(Failure, match=r"no package lists yet: run 'apt-get update'"):
        base.mirror("Debian-Security")


def test_another_key_is_no_other_recipe(monkeypatch):
    apt(monkeypatch, "Debian|http://mirror.test/debian/", "Debian-Security|http://mirror.test/security/")
    before = base._guest_recipe(base.SUITE)
    assert base._guest_recipe(base.SUITE) == before
    monkeypatch.setattr(base, "PACKAGES", f"{base.PACKAGES},less")
    assert base._guest_recipe(base.SUITE) != before


def test_each_guest_has_a_recipe_of_its_own(monkeypatch):
    apt(monkeypatch, "Debian|http://mirror.test/debian/", "Debian-Security|http://mirror.test/security/")
    assert len({base._guest_recipe(suite) for suite in base.SUITES}) == len(base.SUITES)
    backports = "deb http://mirror.test/debian trixie-backports main"
    of_backports = "linux-image-amd64/trixie-backports,"
    for suite in base.SUITES:
        newest = suite.endswith("-backports")
        assert (backports in base.sources(suite)) == newest
        assert any(of_backports in word for word in base._guest_words(suite, Path())) == newest


def test_the_inventory_speaks_for_itself():
    found = yaml.safe_load(inventory("vm1", Path("/check out/vm1"), 2220))["tripod"]["hosts"]["vm1"]
    assert (found["ansible_host"], found["ansible_port"], found["ansible_user"]) == ("127.0.0.1", 2220, "admin")
    assert "-o UserKnownHostsFile='/check out/vm1/known_hosts'" in found["ansible_ssh_common_args"]


@pytest.mark.parametrize("name", ["base", "", "a/b", "..", "x" * 33])
def test_a_name_that_would_leave_its_directory_is_refused(name):
    with pytest.raises(Failure, match="cannot name a VM"):
        Machine(name)


class Peer(threading.Thread):
    """Speaks QEMU's side of the control socket, for one connection after another.

    Attributes:
        heard: Each command with its arguments.
    """

    def __init__(self, directory, answers):
        super().__init__(daemon=True)
        self.heard = []
        self._answers = answers
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(directory / "qmp.sock"))
        self._server.listen()
        self.start()

    def run(self):
        while True:
            connection, _address = self._server.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as stream:
                self._say(stream, {"QMP": {}})
                while line := stream.readline():
                    asked = json.loads(line)
                    self.heard.append((asked["execute"], asked["arguments"]))
                    self._say(stream, {"event": "ALWAYS"})
                    answers = self._answers.get(asked["execute"], [{}])
                    self._say(stream, {"return": answers.pop(0) if len(answers) > 1 else answers[0]})

    @staticmethod
    def _say(stream, what):
        stream.write(json.dumps(what) + "\n")
        stream.flush()


@pytest.fixture
def peer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # A socket's path may only be 107 bytes long.

    def make(jobs=(), tags=()):
        nodes = [
            {"node-name": "#block1"},
            {"node-name": "disk", "image": {"snapshots": [{"name": tag} for tag in tags]}},
        ]
        return Peer(Path(), {"query-jobs": [[one] for one in jobs], "query-named-block-nodes": [nodes]})

    return make


def commands(peer):
    return [name for name, _arguments in peer.heard if name != "qmp_capabilities"]


def test_a_job_is_waited_for_and_forgotten(peer, tmp_path):
    qemu = peer([{"id": "snapshot-save", "status": "running"}, {"id": "snapshot-save", "status": "concluded"}])
    qmp.run_job(tmp_path, "snapshot-save", tag="one")
    assert commands(qemu) == ["snapshot-save", "query-jobs", "query-jobs", "job-dismiss"]
    assert ("snapshot-save", {"job-id": "snapshot-save", "tag": "one"}) in qemu.heard


def test_a_job_that_fails_says_why(peer, tmp_path):
    peer([{"id": "snapshot-load", "status": "concluded", "error": "no room"}])
    with pytest.raises(Failure, match="QEMU's 'snapshot-load' failed: no room"):
        qmp.run_job(tmp_path, "snapshot-load")


def test_a_job_that_does_not_end_is_given_up(peer, tmp_path, monkeypatch):
    monkeypatch.setattr(qmp, "JOB_SECONDS", 0.2)
    peer([{"id": "snapshot-load", "status": "running"}])
    with pytest.raises(Failure, match=r"'snapshot-load' is still running after 0\.2 s"):
        qmp.run_job(tmp_path, "snapshot-load")


def test_a_tag_that_is_taken_stands_for_the_new_snapshot(peer, tmp_path):
    done = [{"id": name, "status": "concluded"} for name in ("snapshot-delete", "snapshot-save")]
    qemu = peer(done, tags=["one"])
    snapshots.save(tmp_path, "one")
    assert [name for name in commands(qemu) if name.startswith("snapshot")] == ["snapshot-delete", "snapshot-save"]


def test_a_snapshot_that_is_not_there_is_told_with_those_that_are(peer, tmp_path):
    qemu = peer(tags=["one", "two"])
    with pytest.raises(Failure, match="has no snapshot three: there is one, two"):
        snapshots.load(tmp_path, "three")
    assert commands(qemu) == ["query-named-block-nodes"]


def test_a_vm_that_is_off_has_no_memory_to_keep():
    with pytest.raises(Failure, match="the VM nobody is off, and has no memory to keep: start it first"):
        Machine("nobody").snapshot("one")
