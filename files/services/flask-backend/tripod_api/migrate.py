"""Prepare the database for this release: its schema, and an administrator where there is none.

A step of its own, before the service is started or replaced: it may run again at any time and by several at once. What
is there is kept. Ends with 0 where the database is as the release needs it, else with 1 and the reason.
"""

from __future__ import annotations

import argparse
import logging.config
import signal
import sys
import time
from collections.abc import Sequence

from . import config, logs
from .database import Database, DatabaseUnavailable
from .migrations import MigrationFailed, SchemaMismatch, newest
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


def prepare(settings: config.Settings) -> list[str]:
    """Bring the schema up to date, see to it that there is an admin, and return what had to be done.

    Raises:
        DatabaseUnavailable: It does not answer.
        SchemaMismatch: The schema is a newer release's.
        MigrationFailed: A step of the migration did not succeed.
        ConfigError: There is no admin, and none can be made.
    """
    database = Database(settings.database)
    wait_for(database, settings.database_wait)
    done = []
    before = database.migrate()
    if before < newest():
        done.append(f"schema brought from version {before} to {newest()}")
    if create_first_admin(database, Passwords(settings.bcrypt_rounds), settings):
        done.append(f"first admin created: {settings.admin_email}")
    return done


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command; it prints a line that begins with `changed:` for each thing that it had to do."""
    argparse.ArgumentParser(prog="python3 -m tripod_api.migrate", description=__doc__).parse_args(arguments)
    # The first process of a container ignores a signal it does not handle, so a stop would wait for the kill.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        settings = config.load()
        logging.config.dictConfig(logs.configuration(settings.log_level))
        for line in prepare(settings):
            sys.stdout.write(f"changed: {line}\n")
    except (config.ConfigError, DatabaseUnavailable, MigrationFailed, SchemaMismatch) as error:
        sys.stderr.write(f"cannot prepare the database: {error}\n")
        return 1
    finally:
        close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
