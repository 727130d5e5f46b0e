"""One JSON object a line on standard output. Bodies, queries and headers are never logged, so no secret is."""

from __future__ import annotations

from typing import Any

import structlog


def configuration(level: str) -> dict[str, Any]:
    """Return the dictConfig for this process, gunicorn's own loggers included."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
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
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            "gunicorn.error": {"level": level, "handlers": ["stdout"], "propagate": False},
            # PyDAL logs statements at DEBUG, with password hashes in them.
            "pydal": {"level": "WARNING"},
        },
    }
