"""The XDP program under a compiled policy, on given frames, in the kernel (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_map, map_in_map
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_run import RunOptions
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import ban_map

# By number: enum xdp_action, enum tripod_reason, enum limit_outcome.
VERDICTS = ("aborted", "drop", "pass", "tx", "redirect")
REASONS = (
    *("no_rule", "list_pass", "list_drop", "not_ip", "malformed", "trusted", "rule_pass", "rule_drop", "limit"),
    *("service_pass", "service_drop", "ban", "syn_cookie", "afxdp", "default"),
)
OUTCOMES = ("", "conformed", "exceeded", "observed")
REASON_SLOTS = 16
# Of token buckets: bits below a tick, lines of sources, and a difference of times that no bucket in use has.
TICK_BITS, SOURCE_LINES, LONG_AGO = 36, 1 << 14, 3 << 61
FOREVER = 2**63
_FIRST = struct.pack("=I", 0)
_RECORD = struct.Struct("=4I2QI7H2B5H6B16s16s56s4x")
_BUCKET = struct.Struct("=2Q")
_ASKED = struct.Struct("=HBx")
_BAN = struct.Struct("=2QB7x")
_HIT, _COUNTER, _COUNT = struct.Struct("=5Q"), struct.Struct("=2Q"), struct.Struct("=I")


class Record(NamedTuple):
    """``struct trace_record``: what became of a frame. Parts are named by their slot of ``hits``; 0 is none."""

    verdict: int
    reason: int
    would: int
    would_reason: int
    now: int
    time: int
    length: int
    slot: int
    would_slot: int
    list: int
    observed_list: int
    rule: int
    observed_rule: int
    service: int
    trusted: int
    banned: int
    network_offset: int
    transport_offset: int
    source_port: int
    destination_port: int
    vlan: int
    vlan_tags: int
    family: int
    protocol: int
    fragment: int
    tcp_flags: int
    icmp_type: int
    source: bytes
    destination: bytes
    limits: bytes

    def asked(self) -> Iterator[tuple[int, str]]:
        """Yield the limits that were asked, in their order: the slot of each, and its answer."""
        return ((slot, OUTCOMES[outcome]) for slot, outcome in _ASKED.iter_unpack(self.limits) if slot)


class Loaded:
    """One program of the object, loaded for policies of one size class, with maps of its own.

    Args:
        content: The ELF file.
        compiled: The policy that it begins with; others must have the same ``bounds``.
        program: Its name.
    """

    def __init__(self, content: bytes, compiled: Compiled, program: str = "tripod_xdp", tracing: bool = True) -> None:
        self.bounds = dict(compiled.bounds)
        self._opened = BpfObject(content, "tripod_xdp.bpf.o")
        fields = self._opened.fields("bounds")
        packed = bytearray(self._opened.constants()["bounds"].size)
        for name, place in fields.items():
            packed[place.offset : place.offset + place.size] = self.bounds[name].to_bytes(place.size, "little")
        self._opened.set_constants({"bounds": bytes(packed), "tracing": bytes([tracing])})
        with map_in_map.made("template", self.bounds["size"]) as template:
            self._opened.set_template("policy", template)
            self._opened.load(program, {})
        self.program = self._opened.program(program)
        self._trace = self.map("trace")
        self._run, self._lookup = library().bpf_prog_test_run_opts, library().bpf_map_lookup_elem
        self._options = RunOptions(sz=ctypes.sizeof(RunOptions), repeat=1)
        self._options_at = ctypes.byref(self._options)
        self._record = ctypes.create_string_buffer(_RECORD.size)
        assert bpf.map_info(self._trace).layout.value_size == _RECORD.size, "struct trace_record is another one"
        self.judge_by(compiled)

    def __enter__(self) -> Loaded:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._opened.__exit__()

    def map(self, name: str) -> int:
        """Return a map's descriptor."""
        return self._opened.map(name)

    def judge_by(self, compiled: Compiled) -> None:
        """Put another policy in the place of the one before."""
        assert dict(compiled.bounds) == self.bounds, "the policy is of another size class"
        with map_in_map.made("policy", self.bounds["size"], compiled.data) as inner:
            map_in_map.exchange(self.map("policy"), inner)

    def ban(self, addresses: Iterable[str]) -> None:
        """Ban single addresses for good; those before are forgotten."""
        bans = self.map("bans")
        bpf_map.delete(bans, list(bpf_map.items(bans, bpf.map_info(bans).layout)))
        keys = {ban_map.key(address) for address in addresses}
        assert bpf_map.update(bans, [(key, _BAN.pack(FOREVER, 0, 1)) for key in keys]) == len(keys)
        with mmap.mmap(self.map("control"), mmap.PAGESIZE) as control:
            _COUNT.pack_into(control, 0, len(keys))

    def run(self, frame: bytes) -> Record:
        """Return what becomes of a frame."""
        options = self._options
        # Each run leaves the size of what comes out, which would be taken for room for the next.
        options.data_in, options.data_size_in, options.data_size_out = frame, len(frame), 0
        result = self._run(self.program, self._options_at)
        assert result == 0, f"{os.strerror(-result)}: a frame of {len(frame)} bytes"
        self._lookup(self._trace, _FIRST, self._record)
        record = Record._make(_RECORD.unpack(self._record.raw))
        assert record.verdict == options.retval
        return record

    def hits(self) -> dict[int, tuple[int, int, int, int]]:
        """Return packets, bytes, observed packets and observed bytes by slot, without those that are all zero."""
        found = {}
        for slot, each in enumerate(_per_cpu(self.map("hits"), _HIT)):
            packets, size, observed, observed_size, _last = map(sum, zip(*each, strict=True))
            if packets or observed:
                found[slot] = (packets, size, observed, observed_size)
        return found

    def counters(self) -> dict[tuple[str, str], int]:
        """Return packets by verdict and reason, without those that are none."""
        found = {}
        for slot, each in enumerate(_per_cpu(self.map("counters"), _COUNTER)):
            if packets := sum(packets for packets, _size in each):
                found[VERDICTS[slot // REASON_SLOTS], REASONS[slot % REASON_SLOTS]] = packets
        return found

    def clear(self) -> None:
        """Forget what was counted and charged.

        Sources' buckets are left as those are that nobody has, and that somebody had so long ago that the part of the
        clock which they keep has come round: it must not be taken for a time to come.
        """
        layout = bpf.map_info(self.map("buckets")).layout
        with mmap.mmap(self.map("buckets"), layout.value_size * layout.max_entries) as buckets:
            long_ago = (self.run(bytes(14)).now << TICK_BITS) + LONG_AGO & 2**64 - 1
            sources = _BUCKET.pack(0, long_ago) * (SOURCE_LINES * 4)
            buckets[:] = sources + bytes(len(buckets) - len(sources))
        for name in ("hits", "counters"):
            _zero(self.map(name))


def _per_cpu(descriptor: int, value: struct.Struct) -> Iterator[list[tuple[int, ...]]]:
    """Yield all elements of a per-CPU array, each as the values of all CPUs."""
    layout = bpf.map_info(descriptor).layout
    step = -(-layout.value_size // 8) * 8
    size = step * library().libbpf_num_possible_cpus()
    keys = ctypes.create_string_buffer(4 * layout.max_entries)
    values = ctypes.create_string_buffer(size * layout.max_entries)
    count = ctypes.c_uint32(layout.max_entries)
    token = ctypes.create_string_buffer(4)
    result = library().bpf_map_lookup_batch(descriptor, None, token, keys, values, ctypes.byref(count), None)
    assert result in (0, -errno.ENOENT), os.strerror(-result)
    assert count.value == layout.max_entries
    for begin in range(0, size * layout.max_entries, size):
        yield [value.unpack_from(values, begin + place) for place in range(0, size, step)]


def _zero(descriptor: int) -> None:
    """Write zeros into all elements of an array."""
    layout = bpf.map_info(descriptor).layout
    per_cpu = library().libbpf_num_possible_cpus() if layout.type.startswith("percpu") else 1
    value = bytes(-(-layout.value_size // 8) * 8 * per_cpu)
    keys = [struct.pack("=I", number) for number in range(layout.max_entries)]
    assert bpf_map.update(descriptor, [(key, value) for key in keys]) == len(keys)
