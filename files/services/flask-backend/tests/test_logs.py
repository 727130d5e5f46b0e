"""Lines of requests wait for a loop, which waits for nobody; no line is lost, and none overtakes another."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tripod_api import logs


class Simple(logging.Formatter):
    """The line is the message, with what belongs to a request."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps([record.getMessage(), getattr(record, "fields", None)])


def output(stream: Any) -> logs.Output:
    found = logs.Output(stream)
    found.setFormatter(Simple())
    found.gathers = True
    return found


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The requests' own, which ends here."""
    found = logging.getLogger(logs.REQUESTS)
    found.propagate, level = False, found.level
    found.setLevel(logging.INFO)
    yield found
    found.propagate = True
    found.setLevel(level)
    found.handlers.clear()


def numbers(text: str) -> list[int]:
    return [fields["number"] for _message, fields in map(json.loads, text.splitlines())]


def test_what_is_no_request_is_written_at_once_and_behind_what_waits(logger: logging.Logger) -> None:
    stream = io.StringIO()
    found = output(stream)
    logger.addHandler(found)
    for number in range(40):
        logs.of_request(logging.INFO, {"number": number, "path": "/" * 300})
    assert stream.getvalue() == ""
    found.handle(logging.LogRecord("other", logging.WARNING, "", 0, "full", (), None))
    *requests, last = stream.getvalue().splitlines()
    assert numbers("\n".join(requests)) == list(range(40))
    assert json.loads(last) == ["full", None]


def test_nobody_who_reads_no_log_stops_a_loop_and_no_line_is_lost(logger: logging.Logger) -> None:
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb") as reader, os.fdopen(writes, "w") as stream:
        found = output(stream)
        logger.addHandler(found)
        for number in range(900):
            logs.of_request(logging.INFO, {"number": number, "path": "/" * 300})
        for _turn in range(2):
            loop = threading.Thread(target=found.write_some, daemon=True)
            loop.start()
            loop.join(20)
            assert not loop.is_alive()
        got = bytearray()

        def read() -> None:
            while piece := reader.read1(4096):
                got.extend(piece)

        thread = threading.Thread(target=read)
        thread.start()
        deadline = time.monotonic() + 20
        while got.count(b"\n") < 900:
            assert time.monotonic() < deadline
            found.write_some()
            time.sleep(0.001)
        stream.close()
        thread.join()
    assert numbers(got.decode()) == list(range(900))


def test_where_too_many_wait_who_logs_writes_them(logger: logging.Logger) -> None:
    stream = io.StringIO()
    logger.addHandler(output(stream))
    for number in range(logs.WAITING + 1):
        logs.of_request(logging.INFO, {"number": number})
    assert numbers(stream.getvalue()) == list(range(logs.WAITING + 1))


def test_a_full_disk_stops_nobody_and_is_told(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115  (what it cannot write fails again where it is closed)
    found = output(full)
    logger.addHandler(found)
    logs.of_request(logging.INFO, {"number": 1})
    found.write_some()
    logs.of_request(logging.INFO, {"number": 2})
    found.handle(logging.LogRecord("other", logging.WARNING, "", 0, "full", (), None))
    assert capsys.readouterr().err.count("1 lines of requests are lost") == 2
    with suppress(OSError):
        full.close()
