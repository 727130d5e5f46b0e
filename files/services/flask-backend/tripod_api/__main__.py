"""Become gunicorn, where the settings are right; the database is prepared by `migrate`, before any service starts."""

from __future__ import annotations

import logging
import logging.config
import os
import sys

from . import config, logs
from .handshakes import VERBOSITY

logger = logging.getLogger("tripod_api")


def main() -> None:
    """Run the service."""
    try:
        settings = config.load()
    except config.ConfigError as error:
        logging.config.dictConfig(logs.configuration("INFO"))
        logger.critical("cannot start: %s", error)
        sys.exit(1)
    if settings.grpc_port and settings.tls_directory:
        os.environ.setdefault(*VERBOSITY)
    # Replaced rather than started, so that gunicorn is the process that gets the signals.
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:tripod_api.gunicorn_conf"]
    os.execv(sys.executable, gunicorn)  # noqa: S606


if __name__ == "__main__":
    main()
