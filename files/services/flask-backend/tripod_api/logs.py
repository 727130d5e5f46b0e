"""One JSON object a line on standard output. Bodies, queries and headers are never logged, so no secret is."""

from __future__ import annotations

import json
import logging
import select
from collections import deque
from datetime import UTC, datetime
from typing import Any

import structlog

from .requestid import processor

# Of the lines that each request costs, which are therefore made at a tenth of the price.
REQUESTS = "tripod_api.request"
# Of these, how many wait for a loop; beyond it who logs one writes them.
WAITING = 1000


class _Lines(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, with a short way for the lines of requests."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name != REQUESTS:
            return super().format(record)
        line = {
            **record.fields,  # type: ignore[attr-defined]
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "message": record.msg,
        }
        return json.dumps(line)


class Output(logging.StreamHandler[Any]):
    """Writes each line, and those of requests together, where `gathers` says that a loop calls `write_some`.

    A write lets another thread have the interpreter, so that it costs the one that answers many times the line's price.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.gathers = False
        self._waiting: deque[str] = deque()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line behind all that wait, or let it wait with them."""
        if not (self.gathers and record.name == REQUESTS):
            self.write_out()
            super().emit(record)
            return
        try:
            self._waiting.append(self.format(record) + self.terminator)
        except Exception:
            self.handleError(record)
        if len(self._waiting) > WAITING:
            self.write_out()

    def write_out(self) -> None:
        """Write what waits, however long that takes."""
        while self._waiting:
            self._write()

    def write_some(self) -> None:
        """Write what waits, as far as nobody has to be waited for, so that who reads the log cannot stop a loop."""
        while self._waiting and self.lock and self.lock.acquire(blocking=False):
            try:
                if not select.select([], [self.stream], [], 0)[1]:
                    return
                self._write()
            finally:
                self.lock.release()

    def _write(self) -> None:
        """Write as much as a pipe that has room at all takes."""
        self.acquire()
        lines: list[str] = []
        size = 0
        try:
            while self._waiting and (not lines or size + len(self._waiting[0]) <= select.PIPE_BUF):
                lines.append(self._waiting.popleft())
                size += len(lines[-1])
            self.stream.write("".join(lines))
            self.flush()
        except Exception:
            # As of any other line: a full disk ends no loop, and nobody's request.
            lost = f"{len(lines)} lines of requests are lost"
            self.handleError(logging.makeLogRecord({"name": REQUESTS, "msg": lost}))
        finally:
            self.release()


def output() -> Output:
    """Return where this process's lines go."""
    return next(one for one in logging.getLogger().handlers if isinstance(one, Output))


def of_request(level: int, fields: dict[str, Any]) -> None:
    """Log that a request was answered; nobody needs to know where in the code that is."""
    logger = logging.getLogger(REQUESTS)
    if logger.isEnabledFor(level):
        record = logger.makeRecord(REQUESTS, level, "", 0, "request", (), None, extra={"fields": fields})
        logger.handle(record)


def configuration(level: str) -> dict[str, Any]:
    """Return the dictConfig for this process, gunicorn's own loggers included."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        processor,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # The plain traceback: structlog's own rendering shows local variables, passwords among them.
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
    ]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": _Lines,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stdout": {"()": Output, "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": ["stdout"], "propagate": False},
            # PyDAL logs statements at DEBUG, with password hashes in them.
            "pydal": {"level": "WARNING"},
        },
    }
