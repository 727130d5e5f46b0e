"""Workers of AF_XDP on NICs of real drivers: packets from outside answered by user space, each accounted for."""

from __future__ import annotations

import errno
import json
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._workers import virtio

from tests.integration import frames
from tests.metal.conftest import Playbook, Tried
from tests.metal.guest import kernel, result_of
from tests.metal.service import CPUS, WORKERS, Service
from tests.metal.test_vm import guest_name
from tests.metal.test_xdp import counted
from tests.support import go_backend
from tests.support.outside import Outside
from tools.vm.hardware import MANAGEMENT_MAC, NICS

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("put_back_once")]
IGB, VIRTIO = "igb0", "virtio0"
QUEUES = [0, 1, 2, 3]
PACKETS, WINDOW = 400, 8
ADDRESS = "198.51.100.1"  # of all of frames.py
NODE, PAGES = 1, 32
PAGES_OF_NODE = f"/sys/devices/system/node/node{NODE}/hugepages/hugepages-2048kB"
REDIRECTED = 4 * 16 + 13  # XDP_REDIRECT for afxdp, of files/bpf/tripod_xdp.h
SEVERAL_FRAMES = (6, 6)
# A busy machine lets an emulated thread stand still for longer than a watchdog of 100 ms bears.
WATCHDOG = 20_000
# First releases whose drivers have zero-copy for both directions, which the kernel takes it for.
ZERO_COPY = {IGB: (6, 14), VIRTIO: (6, 13)}
LONG = 9000
# Binds a socket to a NIC's first queue in zero-copy mode (linux/if_xdp.h), and prints what the kernel says.
BIND = """
import ctypes, mmap, socket, struct, sys
xdp = socket.socket(44, socket.SOCK_RAW)
frames = mmap.mmap(-1, 64 * 4096)
place = ctypes.addressof(ctypes.c_char.from_buffer(frames))
xdp.setsockopt(283, 4, struct.pack("QQIIII", place, len(frames), 4096, 0, 0, 0))
for ring in (5, 6, 2, 3):
    xdp.setsockopt(283, ring, struct.pack("i", 64))
address = struct.pack("HHIII", 44, 1 << 2, socket.if_nametoindex(sys.argv[1]), 0, 0)
libc = ctypes.CDLL(None, use_errno=True)
print(ctypes.get_errno() if libc.bind(xdp.fileno(), address, len(address)) else 0)
"""
Bring = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def nics(host: Any) -> dict[str, str]:
    """The guest's names of the NICs, which are up."""
    names = {nic.name: guest_name(host, nic.mac) for nic in NICS if nic.name in (IGB, VIRTIO)}
    for name in names.values():
        host.check_output(f"ip link set {name} up")
    return names


@pytest.fixture(scope="module")
def service(host: Any, vm: Tried, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """go-backend, which is not started."""
    made = Service(vm, host, go_backend.build(tmp_path_factory.mktemp("go"), "./cmd/go-backend"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def bring(nics: dict[str, str], playbook: Playbook) -> Bring:
    """Attach the program to both NICs and declare a worker on each, as an inventory does; return what was reported.

    Takes options of the worker on each.
    """

    def run(**options: dict[str, Any]) -> dict[str, Any]:
        service = {"name": "echo", "protocol": "udp", "destination": ADDRESS}
        workers = [
            {
                **{"name": cable, "nic": nic, "queues": QUEUES, "handler": "echo", "rx_ring": 256, "tx_ring": 256},
                **{"watchdog_ms": WATCHDOG, "options": {"addresses": [ADDRESS]}, **options.get(cable, {})},
            }
            for cable, nic in nics.items()
        ]
        variables = {
            "xdp_policies": {cable: {"services": [{**service, "action": f"afxdp:{cable}"}]} for cable in nics},
            "xdp_interfaces": [{"name": nic, "policy": cable} for cable, nic in nics.items()],
            "go_backend_workers": workers,
        }
        return playbook("tests/playbooks/workers.yml", "-e", json.dumps(variables))

    return run


@pytest.fixture(scope="module")
def served(host: Any, bring: Bring, service: Service) -> dict[str, Any]:
    """Both NICs served, the one on huge pages of its node; what preflight found before."""
    if int(host.file(f"{PAGES_OF_NODE}/nr_hugepages").content_string) < PAGES:
        host.check_output(f"echo {PAGES} > {PAGES_OF_NODE}/nr_hugepages")
    reported = bring(igb0={"hugepages": "2M"})
    service.start()
    return result_of(reported, "Say what the host cannot give")


def datagram(number: int, size: int) -> bytes:
    data = struct.pack("!I", number).ljust(size, b"\xa5")
    header = struct.pack("!HHHH", 4000, 7, 8 + len(data), 0)
    # Of many sources, as igb spreads UDP by addresses alone.
    return frames.summed(frames.ipv4(f"192.0.2.{1 + number % 250}", header + data))


def echoed(cable: Outside, count: int = PACKETS, size: int = 32) -> int:
    """Send datagrams, a few at a time, as an emulated NIC loses what comes faster; return how many came back whole."""
    back: set[int] = set()
    with cable.receiver(frames.IPV4) as receiving:
        receiving.settimeout(20)
        for begin in range(0, count, WINDOW):
            wanted = range(begin, min(begin + WINDOW, count))
            cable.send(*(frames.ethernet(frames.IPV4, datagram(one, size), destination=cable.target) for one in wanted))
            while not back.issuperset(wanted):
                try:
                    packet = receiving.recv(1 << 16)[14:]
                except TimeoutError:
                    return len(back)
                number = struct.unpack_from("!I", packet, 28)[0] if len(packet) >= 32 else count
                if number < count and packet[28:] == datagram(number, size)[28:]:
                    back.add(number)
    return len(back)


def mode_of(cable: str, host: Any) -> str:
    return "zero-copy" if kernel(host) >= ZERO_COPY[cable] else "copy"


def foretold(findings: dict[str, Any], nic: str) -> str:
    """What preflight says of a NIC's mode, beginning with it."""
    [found] = [one["found"] for one in findings["findings"] if one["subject"] == f"AF_XDP on {nic}"]
    return found.removeprefix("native ")


def test_each_queue_is_served_in_the_best_mode_of_its_driver(host, served, service, nics):
    page = service.page()
    assert page["fault"] == ""
    found = {(one["nic"], one["queue"]): one["mode"] for one in page["workers"]}
    assert found == {(nic, queue): mode_of(cable, host) for cable, nic in nics.items() for queue in QUEUES}


def test_preflight_foretold_the_modes_and_what_the_kernel_lacks(host, served, nics):
    for cable, nic in nics.items():
        assert foretold(served, nic).startswith(mode_of(cable, host))
    assert not [one for one in served["findings"] if one["severity"] == "error"]
    lacking = [one["found"] for one in served["findings"] if one["found"].startswith("Linux ")]
    assert bool(lacking) == (kernel(host) < (6, 8))
    assert ("packets in several frames (6.6)" in " ".join(lacking)) == (kernel(host) < SEVERAL_FRAMES)


def test_a_virtio_device_without_what_zero_copy_takes_is_known_by_sysfs_and_refused(host, nics):
    other = guest_name(host, MANAGEMENT_MAC)
    guest = SimpleNamespace(read=lambda path: host.file(path).content_string)
    assert virtio.lacking(guest, nics[VIRTIO]) == ()
    assert virtio.lacking(guest, other) == ("VIRTIO_F_ACCESS_PLATFORM",)
    # Its driver claims zero-copy all the same, from the release on that has it.
    number = errno.EINVAL if kernel(host) >= ZERO_COPY[VIRTIO] else errno.EOPNOTSUPP
    assert host.check_output("python3 -c %s %s", BIND, other) == str(number)


@pytest.mark.parametrize("cable", [IGB, VIRTIO])
def test_every_packet_is_answered_and_accounted_for(host, served, service, nics, outside, cable):
    pinned = f"/sys/fs/bpf/tripod/{nics[cable]}/maps/counters"
    before, sent = counted(host, REDIRECTED, pinned), service.count("packets_total", verdict="sent")
    assert echoed(outside(cable)) == PACKETS
    assert counted(host, REDIRECTED, pinned) - before == PACKETS
    assert service.count("packets_total", verdict="sent")[cable] - sent[cable] == PACKETS
    for metric in ("kernel_drops_total", "invalid_entries_total", "lost_frames"):
        assert service.count(metric)[cable] == 0, metric
    queues = [queue for queue in QUEUES if service.count("packets_total", queue=str(queue)).get(cable)]
    assert len(queues) > 1, "packets of several flows are of several queues"


def test_threads_and_memory_are_on_the_node_of_the_nic(host, served, service, nics):
    assert {one["cpu"] for one in service.page()["workers"] if one["nic"] == nics[IGB]} == {2, 3}
    process = service.process()
    allowed = host.check_output(f"grep --no-filename Cpus_allowed_list /proc/{process}/task/*/status").split()[1::2]
    assert {one for one in allowed if one != CPUS} == {"2", "3"}, allowed
    maps = host.file(f"/proc/{process}/numa_maps").content_string
    huge = [line for line in maps.splitlines() if " huge " in line]
    assert huge
    for line in huge:
        assert "kernelpagesize_kB=2048" in line
        assert re.findall(r" N(\d+)=", line) == [str(NODE)], line
    # 512 and 256 entries of each queue's rings, in frames of a page.
    need = len(QUEUES) * (512 + 256) * 4096 // (2 << 20)
    assert sum(int(count) for line in huge for count in re.findall(rf" N{NODE}=(\d+)", line)) == need


def test_nothing_is_held_after_the_end(host, served, service, outside):
    free = f"{PAGES_OF_NODE}/free_hugepages"
    held = int(host.file(free).content_string)
    service.stop()
    assert int(host.file(free).content_string) > held
    # A ring that is still mapped would keep its queue busy.
    service.start()
    assert service.page()["fault"] == ""
    assert echoed(outside(IGB), WINDOW) == WINDOW


def test_packets_longer_than_a_frame_are_refused_by_a_kernel_that_lacks_them(host, served, service):
    if kernel(host) >= SEVERAL_FRAMES:
        pytest.skip("for kernels before 6.6: make test-kernels")
    declared = json.loads(host.file(WORKERS).content_string)
    longer = {"workers": [{**one, "multi_buffer": True} for one in declared["workers"]]}
    host.check_output("echo %s > %s", json.dumps(longer), WORKERS)
    service.follow()
    assert "multi-buffer frames need kernel 6.6, this is 6.1" in service.page()["fault"]
    host.check_output("echo %s > %s", json.dumps(declared), WORKERS)
    service.follow()
    assert service.page()["fault"] == ""


def test_packets_longer_than_a_frame_are_answered_whole(host, served, service, bring, nics, outside, vm):
    if kernel(host) < SEVERAL_FRAMES:
        pytest.skip("for kernels since 6.6")
    subprocess.run(["ip", "-n", vm.namespace, "link", "set", VIRTIO, "mtu", str(LONG)], check=True)
    host.check_output(f"ip link set {nics[VIRTIO]} mtu {LONG}")
    reported = bring(virtio0={"multi_buffer": True})
    service.follow()
    page = service.page()
    assert page["fault"] == ""
    # Drivers that take one frame a packet in zero-copy mode give copies.
    [mode] = {one["mode"] for one in page["workers"] if one["nic"] == nics[VIRTIO]}
    assert foretold(result_of(reported, "Say what the host cannot give"), nics[VIRTIO]).startswith(mode)
    sizes = (32, 4000, LONG - 28)
    assert [echoed(outside(VIRTIO), 2 * WINDOW, size) for size in sizes] == [2 * WINDOW] * len(sizes)
    assert service.count("lost_frames")[VIRTIO] == 0
