"""A NIC, its cable and the far end, in network namespaces without names: they vanish with the last descriptor."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library as libbpf

CLONE_NEWNET = 0x40000000
VERDICTS = ("aborted", "drop", "pass", "tx", "redirect")
REASONS = ("no_rule", "acl_pass", "acl_drop", "not_ip", "malformed")
REASON_SLOTS = 16
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
    _check(_libc.setns(namespace, CLONE_NEWNET))
    try:
        yield
    finally:
        _check(_libc.setns(before, CLONE_NEWNET))
        os.close(before)


@contextmanager
def namespace() -> Iterator[int]:
    """Make a network namespace."""
    before = current_namespace()
    _check(_libc.unshare(CLONE_NEWNET))
    made = current_namespace()
    _check(_libc.setns(before, CLONE_NEWNET))
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


class _RunOptions(ctypes.Structure):
    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


class Twin:
    """The object loaded with ``tracing`` set, and run on given frames.

    Args:
        content: The ELF file.
        reused: Descriptors of maps to share, by name.
    """

    def __init__(self, content: bytes, reused: dict[str, int] | None = None) -> None:
        self._opened = BpfObject(content, "tripod_xdp.bpf.o")
        library = ctypes.CDLL("libbpf.so.1")
        library.bpf_object__find_map_by_name.restype = ctypes.c_void_p
        library.bpf_object__find_map_by_name.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        library.bpf_map__initial_value.restype = ctypes.c_void_p
        library.bpf_map__initial_value.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        constants = library.bpf_object__find_map_by_name(self._opened._object, b".rodata")
        size = ctypes.c_size_t()
        ctypes.memset(library.bpf_map__initial_value(constants, ctypes.byref(size)), 1, 1)
        assert size.value == 1, "`tracing` is no longer the only constant"
        self._opened.load("tripod_xdp", reused or {})
        self.program = self._opened.program("tripod_xdp")
        self._library = library

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._opened.__exit__()

    def map(self, name: str) -> int:
        """Return a map's descriptor."""
        return self._opened.map(name)

    def run(self, frame: bytes) -> dict[str, Any]:
        """Return what became of a frame."""
        options = _RunOptions(sz=ctypes.sizeof(_RunOptions), data_in=frame, data_size_in=len(frame), repeat=1)
        result = self._library.bpf_prog_test_run_opts(self.program, ctypes.byref(options))
        assert result == 0, os.strerror(-result)
        record = ctypes.create_string_buffer(44)
        assert libbpf().bpf_map_lookup_elem(self.map("trace"), struct.pack("=I", 0), record) == 0
        names = "verdict reason action owner prefix_len network_offset transport_offset family protocol vlan_tags"
        reported = dict(zip(names.split(), struct.unpack_from("=IIIIIHHBBB", record.raw), strict=True))
        assert reported["verdict"] == options.retval
        size = 4 if reported["family"] == 4 else 16
        family = socket.AF_INET if reported["family"] == 4 else socket.AF_INET6
        return {
            **reported,
            "verdict": VERDICTS[reported["verdict"]],
            "reason": REASONS[reported["reason"]],
            "source": socket.inet_ntop(family, record.raw[28 : 28 + size]) if reported["family"] else None,
        }
