"""Packets of many sources, for XDP programs that are weighed against each other: all of them see the same."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import check, library

from tests.integration import frames

ROOT = Path(__file__).resolve().parents[2]
MOST_SOURCES = 100_000
_VALUE = struct.Struct("=Q")
_FIRST = struct.pack("=I", 0)
# As long as the shortest frame on a wire, less its checksum; its source is rewritten.
FRAMES = {
    4: frames.ethernet(frames.IPV4, frames.ipv4("192.0.2.1")).ljust(60, b"\0"),
    6: frames.ethernet(frames.IPV6, frames.ipv6("2001:db8::1")),
}


def compiled(source: str) -> bytes:
    """Return the object of a BPF source of this folder."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "made.o")
        words = ["clang", "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([*words, "-c", str(ROOT / "tests" / "bench" / source), "-o", str(made)], check=True)
        return made.read_bytes()


def released() -> bytes:
    """Return the object of release 1.0.0, built as it was."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "bpf")
        shutil.copytree(ROOT / "tests" / "fixtures" / "xdp-1.0.0", copy)
        subprocess.run(["make", "-C", str(copy)], check=True, stdout=subprocess.DEVNULL)
        return (copy / "tripod_xdp.bpf.o").read_bytes()


def fill(descriptor: int, values: Sequence[bytes]) -> None:
    """Write the first elements of an array that can be mapped; they are multiples of 8 bytes."""
    content = b"".join(values)
    with mmap.mmap(descriptor, -(-len(content) // mmap.PAGESIZE) * mmap.PAGESIZE) as memory:
        memory[: len(content)] = content


def put(descriptor: int, value: bytes) -> None:
    """Write a map's first element."""
    check(library().bpf_map_update_elem(descriptor, _FIRST, value, ctypes.c_uint64(0)))


class Stream:
    """A program that takes the next source of a list at each run, and goes on to another program or sends the packet.

    Args:
        content: The compiled ``sources.bpf.c``.
        family: 4 or 6.
        sources: Addresses as numbers, MOST_SOURCES at most; of an IPv6 address the upper 64 bits are taken.
        program: Descriptor of what judges the packet; None where it is sent.
        interface: Index of what it is sent to.
    """

    def __init__(
        self, content: bytes, family: int, sources: Sequence[int], program: int | None = None, interface: int = 0
    ) -> None:
        self._opened = BpfObject(content, "sources.bpf.o")
        name = "send" if program is None else "judge"
        self._opened.load(name, {})
        self.frame = FRAMES[family]
        self.program = self._opened.program(name)
        upper = [source if family == 4 else source >> 64 for source in sources]
        size = 4 if family == 4 else 8
        fill(
            self._opened.map("sources"),
            [number.to_bytes(size, "big").ljust(_VALUE.size, b"\0") for number in upper],
        )
        put(self._opened.map("stream"), struct.pack("=IIII", 0, len(sources), family, interface))
        if program is not None:
            put(self._opened.map("next"), struct.pack("=I", program))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._opened.__exit__()


@contextlib.contextmanager
def attached(program: int, nic: str) -> Iterator[None]:
    """Let a program judge what an interface receives."""
    link = bpf.create_xdp_link(program, socket.if_nametoindex(nic), "native")
    try:
        yield
    finally:
        os.close(link)


@contextlib.contextmanager
def pinned_to(cpu: int) -> Iterator[None]:
    """Let this thread run on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> str:
    """Say what the figures are of: the CPU, what its speculation costs, the kernel."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.lower().startswith(("model name", "cpu part"))
    )
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    guards = [
        f"{path.name}: {words}"
        for path in sorted(folder.glob("*"))
        if (words := path.read_text(encoding="ascii").strip()).startswith("Mitigation")
        and path.name in ("retbleed", "spec_rstack_overflow", "spectre_v2")
    ]
    return "\n".join([f"{cpu}, {os.cpu_count()} CPUs, Linux {os.uname().release}", *guards])
