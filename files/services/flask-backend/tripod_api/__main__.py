"""Prepare the database, then become gunicorn."""

from __future__ import annotations

import logging.config
import os
import signal
import sys
import time

from . import config, logs
from .database import Database, DatabaseUnavailable
from .passwords import Passwords, close
from .users import create_first_admin

logger = logging.getLogger("tripod_api")

PAUSE = 1.0


def wait_for(database: Database, seconds: int) -> None:
    """Return once the database answers.

    Raises:
        DatabaseUnavailable: It did not within the given seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            database.ping()
        except DatabaseUnavailable as error:
            if time.monotonic() > deadline:
                raise
            logger.warning("waiting for the database", extra={"reason": str(error)})
            time.sleep(PAUSE)
        else:
            return


def prepare(settings: config.Settings) -> None:
    """Bring the schema up to date and see to it that there is an admin."""
    database = Database(settings.database)
    wait_for(database, settings.database_wait)
    database.migrate()
    if create_first_admin(database, Passwords(settings.bcrypt_rounds), settings):
        logger.info("first admin created", extra={"email": settings.admin_email})


def main() -> None:
    """Run the service."""
    # The first process of a container ignores a signal it does not handle, so a stop would wait for the kill.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = config.load()
        logging.config.dictConfig(logs.configuration(settings.log_level))
        prepare(settings)
    except (config.ConfigError, DatabaseUnavailable) as error:
        logging.config.dictConfig(logs.configuration("INFO"))
        logger.critical("cannot start: %s", error)
        sys.exit(1)
    close()
    # Replaced rather than started, so that gunicorn is the process that gets the signals.
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:tripod_api.gunicorn_conf"]
    os.execv(sys.executable, gunicorn)  # noqa: S606


if __name__ == "__main__":
    main()
