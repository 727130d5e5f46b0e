"""Whether the database serves: each worker asks twice a second, beside its requests.

So `/readyz` says it soon and waits for nobody, and requests are served again as soon as the database is back.
"""

from __future__ import annotations

import logging
import threading
import time

from .database import TRANSACTION_SECONDS, Database, DatabaseUnavailable
from .migrations import SchemaMismatch

logger = logging.getLogger(__name__)

# Their sum is the longest that a worker believes what is over; and how long it believes what it cannot ask again.
EVERY_SECONDS = 0.5
ANSWER_SECONDS = 1.0
STALE_SECONDS = 5.0


class Watch:
    """What the database was found to be, by the last look.

    Args:
        database: Whom to ask.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running = False
        self._looked = time.monotonic()
        self._fault: Exception | None = DatabaseUnavailable(f"{database.address}: it was not asked yet")

    def start(self) -> None:
        """Begin to look; after gunicorn's fork, as threads do not survive one."""
        self._running = True
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def check(self) -> None:
        """Return where requests can be served; where nothing looks in the background, look now.

        Raises:
            DatabaseUnavailable: The database does not answer.
            SchemaMismatch: Its schema is another release's.
        """
        if not self._running:
            # Nobody else waits for it, and how late an answer may be is the request's own matter.
            self._look(TRANSACTION_SECONDS)
        if time.monotonic() > self._looked + STALE_SECONDS:
            raise DatabaseUnavailable(f"{self._database.address}: nobody has come to ask it for {STALE_SECONDS:.0f} s")
        if (fault := self._fault) is not None:
            # A new one, as each raising adds to an exception.
            raise type(fault)(*fault.args)

    def _look(self, seconds: float = ANSWER_SECONDS) -> None:
        try:
            self._database.look(seconds)
        except (DatabaseUnavailable, SchemaMismatch) as error:
            self._fault = error.with_traceback(None)
        else:
            self._fault = None
        self._looked = time.monotonic()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._look()
            except Exception:
                # A fault that nobody foresaw must not end all looks to come.
                logger.exception("the database could not be looked at")
            pause.wait(EVERY_SECONDS)
