"""A ring buffer that the kernel writes, read by several at once."""

from __future__ import annotations

import ctypes
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_run import RunOptions
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ring_buffer import RingBuffer

from tests.integration import lab
from tests.integration.conftest import REPOSITORY

RECORD = 160
RING = 4096
FITS = 24  # records of 168 bytes in all, in one byte less than the ring
# The next record's header is written before anybody can know of it, so the oldest of a full ring is given up.
SAFE = FITS - 1


class Writer:
    """The program that writes records, numbered from 0."""

    def __init__(self, content: bytes) -> None:
        self._opened = BpfObject(content, "samples.bpf.o")
        self._opened.load("write_records", {})
        self.ring = self._opened.map("samples")
        self._library = ctypes.CDLL("libbpf.so.1")

    def close(self) -> None:
        self._opened.__exit__()

    def write(self, count: int, discard: bool = False) -> str:
        """Write records; return ``drop`` where one found no room."""
        frame = bytes((count, ord("d" if discard else "s"))) + bytes(12)
        options = RunOptions(sz=ctypes.sizeof(RunOptions), data_in=frame, data_size_in=len(frame), repeat=1)
        program = self._opened.program("write_records")
        assert self._library.bpf_prog_test_run_opts(program, ctypes.byref(options)) == 0
        return lab.VERDICTS[options.retval]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("samples") / "samples.bpf.o"
    source = REPOSITORY / "tests/integration/objects/samples.bpf.c"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", str(source), "-o", str(path)], check=True)
    return path.read_bytes()


@pytest.fixture
def writer(content: bytes) -> Iterator[Writer]:
    made = Writer(content)
    yield made
    made.close()


def numbers(records: list[bytes]) -> list[int]:
    """Return the records' numbers; each must be whole."""
    found = []
    for record in records:
        assert len(record) == RECORD
        [number] = struct.unpack_from("=Q", record)
        assert record[8:] == bytes((number % 256,)) * (RECORD - 8)
        found.append(number)
    return found


def test_records_come_once_in_their_order_over_many_rounds_of_the_ring(writer):
    with RingBuffer(writer.ring, RECORD) as reader:
        assert reader.read() == []
        read = []
        for count in [1, 5, 0, SAFE, 7] * 20:
            assert writer.write(count) == "pass"
            read += numbers(reader.read())
        assert read == list(range(36 * 20))
        assert reader.missed == 0


def test_two_readers_both_see_everything(writer):
    with RingBuffer(writer.ring, RECORD) as one, RingBuffer(writer.ring, RECORD) as other:
        seen: tuple[list[int], list[int]] = ([], [])
        for _round in range(50):
            assert writer.write(11) == "pass"
            seen[0].extend(numbers(one.read()))
            seen[1].extend(numbers(other.read()))
        assert seen == (list(range(550)), list(range(550)))


def test_a_reader_that_another_one_laps_knows_how_much_it_missed(writer):
    with RingBuffer(writer.ring, RECORD) as fast, RingBuffer(writer.ring, RECORD) as slow:
        for _round in range(10):
            assert writer.write(10) == "pass"
            fast.read()
        kept = numbers(slow.read())
        assert kept == list(range(100 - len(kept), 100))
        assert len(kept) == SAFE
        assert slow.missed == 100 - len(kept)
        assert fast.missed == 0


def test_nothing_is_overwritten_that_nobody_read_and_a_reader_makes_room(writer):
    with RingBuffer(writer.ring, RECORD) as reader:
        assert writer.write(FITS + 1) == "drop"
        assert numbers(reader.read()) == list(range(1, FITS))
        assert reader.missed == 1
        assert writer.write(1) == "pass"
        assert numbers(reader.read()) == [FITS]


def test_what_others_read_is_still_there_for_one_that_reads_history(writer):
    with RingBuffer(writer.ring, RECORD) as reader:
        for _round in range(3):
            writer.write(20)
            reader.read()
    with RingBuffer(writer.ring, RECORD, history=True) as late:
        assert numbers(late.read()) == list(range(60 - SAFE, 60))
        assert late.missed == 0
    with RingBuffer(writer.ring, RECORD) as later:
        assert later.read() == []


def test_a_ring_that_nobody_read_is_history_from_its_begin(writer):
    writer.write(3)
    with RingBuffer(writer.ring, RECORD, history=True) as reader:
        assert numbers(reader.read()) == [0, 1, 2]


def test_discarded_records_are_left_out(writer):
    with RingBuffer(writer.ring, RECORD) as reader:
        writer.write(2)
        writer.write(3, discard=True)
        writer.write(2)
        assert numbers(reader.read()) == [0, 1, 5, 6]


def test_records_of_another_size_are_an_error(writer):
    with RingBuffer(writer.ring, 152) as reader:
        writer.write(1)
        with pytest.raises(ValueError, match="records of 160 bytes where 152 were expected"):
            reader.read()


def test_another_map_is_refused(writer):
    with pytest.raises(ValueError, match="no ring buffer"):
        RingBuffer(writer._opened.map("written"), RECORD)


def test_what_is_overwritten_while_it_is_copied_is_missed_and_not_torn(writer, monkeypatch):
    with RingBuffer(writer.ring, RECORD) as fast, RingBuffer(writer.ring, RECORD) as slow:
        for _round in range(5):
            writer.write(4)
            fast.read()
        rounds = iter(range(2))
        order = slow._order

        def be_overtaken() -> None:
            # After a header was read, before its record is copied.
            if next(rounds, None) is not None:
                writer.write(20)
                fast.read()
            order()

        monkeypatch.setattr(slow, "_order", be_overtaken)
        seen = numbers(slow.read())
        monkeypatch.undo()
        seen += numbers(slow.read())
        assert seen == list(range(60 - len(seen), 60))
        assert 0 < len(seen) < 60
        assert slow.missed == 60 - len(seen)


def test_a_reader_beside_a_busy_writer_gets_whole_records_or_counts_them(writer):
    """The writer is another thread, and never waits: a fast reader makes room, a slow one is lapped all the time."""
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            writer.write(23)

    def consume(reader: RingBuffer) -> None:
        while not ended.is_set():
            reader.read()

    with RingBuffer(writer.ring, RECORD) as fast, RingBuffer(writer.ring, RECORD) as slow:
        threads = [threading.Thread(target=write), threading.Thread(target=consume, args=(fast,))]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            seen: list[int] = []
            rounds = 0
            # However long a busy machine lets the writer wait: until it has lapped this reader, too.
            deadline = time.monotonic() + lab.PATIENCE
            while rounds < 3000 or (not slow.missed and time.monotonic() < deadline):
                seen += numbers(slow.read())
                rounds += 1
        finally:
            ended.set()
            for thread in threads:
                thread.join()
            sys.setswitchinterval(interval)
        seen += numbers(slow.read())
        assert seen == sorted(set(seen))
        assert slow.missed
        assert len(seen) + slow.missed == seen[-1] + 1
