"""A NIC, its cable and the far end, in network namespaces without names: they vanish with the last descriptor."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_run import RunOptions
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library as libbpf

from tests.support.machine import eventually
from tests.support.namespaces import go_to

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
VERDICTS = ("aborted", "drop", "pass", "tx", "redirect")
REASONS = (
    *("no_rule", "list_pass", "list_drop", "not_ip", "malformed", "trusted", "rule_pass", "rule_drop", "limit"),
    *("service_pass", "service_drop", "ban", "syn_cookie", "afxdp", "default"),
)
REASON_SLOTS = 16
# Seconds until what comes about by itself must have: many, as an emulated guest of a busy machine has next to no CPU.
PATIENCE = 120.0
MAPS = (
    *("bans", "buckets", "control", "counters", "extensions", "hits", "policy", "rodata", "samples", "scratches"),
    *("trace", "xsks"),
)
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def current_namespace() -> int:
    """Return a descriptor of this thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Work in another network namespace; mounts stay, so that /sys/fs/bpf does not vanish as with 'ip netns exec'."""
    before = current_namespace()
    go_to(namespace)
    try:
        yield
    finally:
        go_to(before)
        os.close(before)


@contextmanager
def namespace() -> Iterator[int]:
    """Make a network namespace."""
    before = current_namespace()
    _check(_libc.unshare(CLONE_NEWNET))
    made = current_namespace()
    go_to(before)
    os.close(before)
    try:
        yield made
    finally:
        os.close(made)


def ip(*arguments: str) -> Any:
    """Run iproute2 in this thread's namespace and return what it prints as JSON, if anything."""
    result = subprocess.run(["ip", "-j", *arguments], check=True, capture_output=True, text=True)
    return json.loads(result.stdout) if result.stdout.strip() else None


class Cable:
    """A veth pair whose ends are in two namespaces.

    Attributes:
        near: Namespace of ``nic``, where tests work.
        far: Namespace of ``peer``, where packets come from.
    """

    nic = "xdp0"
    peer = "peer0"

    def __init__(self, near: int, far: int) -> None:
        self.near, self.far = near, far

    def sender(self) -> socket.socket:
        """Return a socket that sends frames into the cable from its far end."""
        with inside(self.far):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind((self.peer, 0))
        return sender

    def packets_sent(self) -> int:
        """Return how many packets the far end has handed to the near one, the kernel's own included."""
        with inside(self.far):
            return int(ip("-s", "link", "show", "dev", self.peer)[0]["stats64"]["tx"]["packets"])

    def xdp(self) -> dict[str, Any]:
        """Return what iproute2, and not the code under test, says of the NIC's program."""
        return ip("link", "show", "dev", self.nic)[0].get("xdp") or {}


@contextmanager
def cable(queues: int = 2, up: bool = True) -> Iterator[Cable]:
    """Lay a cable; the calling thread works in the near namespace meanwhile."""
    with namespace() as near, namespace() as far, inside(near):
        ends = [["numrxqueues", str(queues), "numtxqueues", str(queues)] for _end in range(2)]
        ip("link", "add", Cable.nic, *ends[0], "type", "veth", "peer", "name", Cable.peer, *ends[1])
        ip("link", "set", Cable.peer, "netns", f"/proc/{os.getpid()}/fd/{far}")
        laid = Cable(near, far)
        if up:
            bring_up(laid)
        yield laid


def bring_up(laid: Cable) -> None:
    """Set both ends up."""
    ip("link", "set", laid.nic, "up")
    with inside(laid.far):
        ip("link", "set", laid.peer, "up")


def listener(interface: str) -> socket.socket:
    """Return a socket that gets the frames which an interface of this thread's namespace receives."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.bind((interface, ETH_P_ALL))
    return made


def read_counters(pin: Path) -> dict[tuple[str, str], int]:
    """Return packets by verdict and reason, summed over CPUs, those that are not zero."""
    last = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip().split("-")[-1]
    cpus = int(last) + 1
    value = ctypes.create_string_buffer(16 * cpus)
    found = {}
    with bpf.pinned(str(pin)) as descriptor:
        for verdict, verdict_name in enumerate(VERDICTS):
            for reason, reason_name in enumerate(REASONS):
                key = struct.pack("=I", verdict * REASON_SLOTS + reason)
                assert libbpf().bpf_map_lookup_elem(descriptor, key, value) == 0
                packets = sum(struct.unpack_from("=QQ", value.raw, cpu * 16)[0] for cpu in range(cpus))
                if packets:
                    found[verdict_name, reason_name] = packets
    return found


def fate(counters: Path, sender: socket.socket, frame: bytes, packets: int) -> tuple[str, str]:
    """Send a frame so many times, and return the verdict and the reason that were counted for all of them.

    Args:
        counters: Where the map is pinned.
        sender: The far end's.
    """
    before = read_counters(counters)

    def found() -> list[tuple[str, str]]:
        # The kernel's own packets at link-up are counted too.
        return [slot for slot, count in read_counters(counters).items() if count - before.get(slot, 0) >= packets]

    put(sender, *[frame] * packets)
    # A busy kernel leaves to a thread of its own what was sent, so it may be judged later.
    eventually(found, PATIENCE)
    [slot] = found()
    return slot


def put(sender: socket.socket, *frames: bytes) -> None:
    """Send frames, each when there is room for it.

    Args:
        sender: The far end's.
    """
    deadline = time.monotonic() + PATIENCE
    for frame in frames:
        while True:
            try:
                sender.send(frame)
                break
            except OSError as error:
                # The ring of the near end is full of what a busy kernel has not judged yet: it was not sent.
                if error.errno != errno.ENOBUFS or time.monotonic() > deadline:
                    raise
                time.sleep(0.001)


def until_more(count: Callable[[], int]) -> None:
    """Wait until a count rises, however long a busy machine lets those wait who make it."""
    before = count()
    eventually(lambda: count() > before, PATIENCE)


def run_program(program: int, frame: bytes, repeat: int = 1, **more: int) -> int:
    """Run a program on a frame, so many times, and return its last verdict.

    Args:
        more: Further fields of the options.
    """
    options = RunOptions(sz=ctypes.sizeof(RunOptions), data_in=frame, data_size_in=len(frame), repeat=repeat, **more)
    run = ctypes.CDLL("libbpf.so.1").bpf_prog_test_run_opts
    result = run(program, ctypes.byref(options))
    assert result == 0, os.strerror(-result)
    return int(options.retval)
