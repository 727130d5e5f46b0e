"""A policy is exchanged whole: no packet is judged by half of one, by two at once, or by none."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, btf, map_in_map
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.libbpf import library

from tests.integration import lab

ABORTED, DROP, PASS, TX = range(4)
SIZE = 1 << 20  # the whole of it is read: header and last entry are pages apart


@pytest.fixture(scope="module")
def swap_object(tmp_path_factory) -> bytes:
    """A program whose every verdict says whether header and table were one policy's."""
    path = tmp_path_factory.mktemp("swap") / "swap.bpf.o"
    source = Path(__file__).parent / "objects" / "swap.bpf.c"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", str(source), "-o", str(path)], check=True)
    return path.read_bytes()


def policy(verdict: int, size: int = SIZE, end: int | None = None) -> bytes:
    """A header, and a table of as many entries as the size has room for."""
    return struct.pack("=II", 1, verdict) + struct.pack("=I", verdict if end is None else end) * (size // 4 - 2)


@contextmanager
def loaded(content: bytes, first: bytes) -> Iterator[BpfObject]:
    """The program, with constants for policies as long as the first, which it has before its first packet."""
    with ExitStack() as held:
        opened = held.enter_context(BpfObject(content, "swap.o"))
        inner = held.enter_context(map_in_map.made("first", len(first), first))
        fields = {"size": len(first), "table": 8, "table_count": len(first) // 4 - 2}
        places = opened.fields("bounds")
        assert {name: (one.offset, one.size) for name, one in places.items()} == {
            "size": (0, 4),
            "table": (4, 4),
            "table_count": (8, 4),
        }
        opened.set_constants({"bounds": btf.pack(fields, places, 12)})
        opened.set_template("policy", inner)
        opened.load("judge", {})
        map_in_map.exchange(opened.map("policy"), inner)
        yield opened


def verdicts(opened: BpfObject) -> list[int]:
    """What the program counted, by verdict, on all CPUs."""
    cpus = library().libbpf_num_possible_cpus()
    value = ctypes.create_string_buffer(8 * cpus)
    found = []
    for verdict in range(4):
        assert library().bpf_map_lookup_elem(opened.map("counters"), struct.pack("=I", verdict), value) == 0
        found.append(sum(struct.unpack(f"={cpus}Q", value.raw)))
    return found


def judged(opened: BpfObject, verdict: int) -> int:
    return verdicts(opened)[verdict]


def constants_of(opened: BpfObject) -> list[dict[str, int]]:
    """The bounds as the kernel holds them, in a map of the program's own."""
    found = []
    for number in bpf.program_info(opened.program("judge")).map_ids:
        with bpf.map_by_id(number) as descriptor:
            found.append(bpf.constant(descriptor, "bounds"))
            assert bpf.constant(descriptor, "other") is None
    return [one for one in found if one]


def test_constants_and_the_size_of_a_policy_are_set_before_loading(swap_object):
    assert BpfObject(swap_object, "swap.o").constants().keys() == {"bounds", "tracing"}
    for size in (4096, 1 << 16):
        with loaded(swap_object, policy(DROP, size)) as opened:
            assert lab.run_program(opened.program("judge"), bytes(64)) == DROP
            assert constants_of(opened) == [{"size": size, "table": 8, "table_count": size // 4 - 2}]
            with map_in_map.made("larger", 2 * size) as other, pytest.raises(OSError, match="Invalid argument"):
                map_in_map.exchange(opened.map("policy"), other)


def test_a_constant_that_the_object_has_not_and_a_value_of_another_size_are_refused(swap_object):
    with BpfObject(swap_object, "swap.o") as opened:
        with pytest.raises(ValueError, match="constant bounds has 12 bytes, 4 were given"):
            opened.set_constants({"bounds": bytes(4)})
        with pytest.raises(KeyError):
            opened.set_constants({"other": bytes(4)})
        assert opened.fields("other") == opened.fields("tracing") == {}


def test_nobody_writes_a_policy_that_was_put_in_force():
    with map_in_map.made("policy", SIZE, policy(DROP)) as inner:
        assert map_in_map.begin(inner, 8) == struct.pack("=II", 1, DROP)
        assert len(map_in_map.begin(inner, 2 * SIZE)) == SIZE
        with pytest.raises(OSError, match="not permitted"):
            bpf_update(inner, bytes(SIZE))


def bpf_update(descriptor: int, value: bytes) -> None:
    result = library().bpf_map_update_elem(descriptor, struct.pack("=I", 0), value, 0)
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def test_no_packet_is_judged_by_half_a_policy(swap_object):
    swaps = 60
    with loaded(swap_object, policy(DROP)) as opened:
        ended = threading.Event()
        sent = []

        def send() -> None:
            count = 0
            while not ended.is_set():
                lab.run_program(opened.program("judge"), bytes(64), 20_000)
                count += 20_000
            sent.append(count)

        traffic = threading.Thread(target=send)
        traffic.start()
        try:
            for number in range(swaps):
                verdict = (PASS, DROP)[number % 2]
                with map_in_map.made("next", SIZE, policy(verdict)) as inner:
                    map_in_map.exchange(opened.map("policy"), inner)
                    assert map_in_map.held(opened.map("policy")) == bpf.map_info(inner).id
                    # Each is exchanged while it judges.
                    lab.until_more(partial(judged, opened, verdict))
        finally:
            ended.set()
            traffic.join()
        found = verdicts(opened)
        assert sum(found) == sent[0]
        assert (found[ABORTED], found[TX]) == (0, 0)
        # The counter for a mix does count: what the test watches for would be seen.
        with map_in_map.made("torn", SIZE, policy(DROP, end=PASS)) as inner:
            map_in_map.exchange(opened.map("policy"), inner)
        lab.run_program(opened.program("judge"), bytes(64), 5)
        assert verdicts(opened)[TX] == 5


def test_the_policy_before_is_freed_once_nobody_reads_it(swap_object):
    with loaded(swap_object, policy(DROP)) as opened:
        before = map_in_map.held(opened.map("policy"))
        with map_in_map.made("next", SIZE, policy(PASS)) as inner:
            map_in_map.exchange(opened.map("policy"), inner)
        # The first one's last holder is the context that made it, which `loaded` keeps to the end.
        assert before is not None
        with bpf.map_by_id(before):
            pass
    with pytest.raises(FileNotFoundError), bpf.map_by_id(before):
        pass
