"""PyDAL over PostgreSQL, MySQL or SQLite: one transaction, one connection, one `with`."""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from pydal import DAL
from pydal._globals import THREAD_LOCAL

from . import deadline, migrations, tables
from .config import Database as Address
from .dialects import DIALECTS

POOL_SIZE = 16

# Seconds a transaction may take, longer than the server's own limits for its parts; how long nobody else waits for a
# server that was late, so that requests do not stand in line for it; and how long the one waits that asks it again,
# which may have stood in line for as long as a transaction takes.
TRANSACTION_SECONDS = 10.0
AWAY_SECONDS = 1.0
ASKING_SECONDS = 3.0
MIGRATION_SECONDS = 600.0

# Numbers of the database's locks; any serve, so long as nobody in this database takes them for something else.
SCHEMA_LOCK = 0x7472_6970_0001
ACCOUNTS_LOCK = 0x7472_6970_0002


class DatabaseUnavailable(Exception):
    """The database did not answer, or gave up on a statement."""


class Conflict(Exception):
    """Two transactions met: what this one relied on was changed by the other."""


class _Circuit:
    """Lets one ask a server that was late, while all others are told at once that it is away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._again: float | None = None

    def enter(self, seconds: float) -> float | None:
        """Return how many of the seconds may be taken; None where nobody is to ask.

        Whoever may, while the server is away, asks for all.
        """
        with self._lock:
            if self._again is None:
                return seconds
            if time.monotonic() < self._again:
                return None
            allowed = seconds if seconds > TRANSACTION_SECONDS else min(seconds, ASKING_SECONDS)
            # Until this one has its answer.
            self._again = time.monotonic() + allowed + AWAY_SECONDS
            return allowed

    def late(self) -> None:
        with self._lock:
            self._again = time.monotonic() + AWAY_SECONDS

    def answered(self) -> None:
        self._again = None


def now() -> datetime:
    """Return the time in UTC without a zone and without fractions, as the tables hold it."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


class Database:
    """The tables, and the only way to them.

    The connection is made at first use: a worker that starts while the database is away must not die of it.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._dal: DAL | None = None
        # PyDAL's own holds a lock of the whole process while it tries a connection, so that a server which does not
        # answer would be waited for by one thread after the other.
        self._pool: deque[Any] = deque(maxlen=POOL_SIZE)
        # The driver of SQLite complains of a connection that is forgotten rather than closed.
        weakref.finalize(self, _close, self._pool)
        self._circuit = _Circuit()
        self._dialect = DIALECTS[address.type]
        # Whether the schema was found to be this release's, when somebody looked last.
        self._fits = False

    @contextmanager
    def transaction(
        self, lock: int | None = None, seconds: float = TRANSACTION_SECONDS, any_schema: bool = False
    ) -> Iterator[DAL]:
        """Give the tables to one transaction: committed at the end, rolled back on any exception.

        Not to be nested: PyDAL keeps one connection a thread.

        Args:
            lock: One at a time may hold it; others wait here. (SQLite has a single lock, for all writing.)
            seconds: What it may take in all.
            any_schema: Whether it serves with another release's schema, or none.

        Raises:
            DatabaseUnavailable: No connection, or the server ended the statement.
            SchemaMismatch: The schema is another release's.
            Conflict: What it wrote is at odds with what is there.
        """
        allowed = self._circuit.enter(seconds)
        if allowed is None:
            raise DatabaseUnavailable(f"{self.address}: it was late of late, and is asked again shortly")
        with self._judged(allowed), self._transaction(lock, seconds > TRANSACTION_SECONDS, any_schema) as dal:
            yield dal

    @contextmanager
    def _judged(self, seconds: float) -> Iterator[None]:
        """Set a deadline, and let all know whether it was met."""
        with deadline.within(seconds):
            try:
                yield
            except DatabaseUnavailable:
                if deadline.left() == 0:
                    self._circuit.late()
                else:
                    self._circuit.answered()
                raise
            except BaseException:
                self._circuit.answered()
                raise
            self._circuit.answered()

    @contextmanager
    def _transaction(self, lock: int | None, patient: bool, any_schema: bool) -> Iterator[DAL]:
        dal = self._connect()
        adapter = dal._adapter
        lost = (adapter.driver.OperationalError, adapter.driver.InterfaceError)
        try:
            self._take_connection(adapter, lost)
            if patient:
                # A large table takes longer to change than any request should, and so does the replica that came first.
                self._dialect.be_patient(dal)
            if lock is not None:
                self._dialect.lock(dal, lock)
            if not (self._fits or any_schema):
                migrations.check(dal)
                self._fits = True
            yield dal
            adapter.commit()
        except lost as error:
            raise DatabaseUnavailable(f"{self.address}: {' '.join(str(error).split())}") from error
        except adapter.driver.IntegrityError as error:
            raise Conflict(" ".join(str(error).split())) from error
        finally:
            self._give_back(adapter, lost, keep=not (self._dialect.lasting and (patient or lock is not None)))

    def _take_connection(self, adapter: Any, lost: tuple[type[Exception], ...]) -> None:
        while self._pool:
            with suppress(IndexError, *lost):
                adapter.set_connection(self._pool.pop())
                return
            # Closed by the server meanwhile; the next one may not be.
            with suppress(*lost):
                adapter.close(None)
        adapter.get_connection(use_pool=False)

    def _give_back(self, adapter: Any, lost: tuple[type[Exception], ...], keep: bool = True) -> None:
        """Keep the connection, rolled back: after a commit that undoes nothing, after an exception it is what heals."""
        connection = getattr(THREAD_LOCAL, adapter._connection_uname_, None)
        if connection is None:
            return
        try:
            connection.rollback()
            adapter.cursor.close()
            if keep and len(self._pool) < POOL_SIZE:
                self._pool.append(connection)
                adapter.set_connection(None)
                return
        except lost:
            pass
        with suppress(*lost):
            adapter.close(None)

    def ping(self) -> None:
        """Ask the server for an answer, or raise DatabaseUnavailable."""
        with self.transaction(any_schema=True) as db:
            db.executesql("SELECT 1")

    def look(self, seconds: float) -> None:
        """Ask within some seconds whether requests can be served.

        Requests wait longer, as a host that is busy is no server that is away; but once it answers again they all may.

        Raises:
            DatabaseUnavailable: There is no answer.
            SchemaMismatch: The schema is another release's.
        """
        with deadline.within(seconds), self._transaction(None, patient=False, any_schema=True) as dal:
            try:
                migrations.check(dal)
            except migrations.SchemaMismatch:
                self._fits = False
                raise
            self._fits = True
        self._circuit.answered()

    def migrate(self) -> int:
        """Bring the schema to the newest version, one of several that try at a time, and return the one it had.

        Raises:
            DatabaseUnavailable: See `transaction`.
            SchemaMismatch: It is a newer release's.
            MigrationFailed: A step did not succeed.
        """
        with self.transaction(lock=SCHEMA_LOCK, seconds=MIGRATION_SECONDS, any_schema=True) as db:
            return migrations.migrate(db)

    def _connect(self) -> DAL:
        # One makes the first connection for all, who would else try in turn, a second and a deadline each.
        seconds = deadline.left()
        if not self._lock.acquire(timeout=-1 if seconds is None else seconds):
            raise DatabaseUnavailable(f"{self.address}: it has not answered since this process began")
        try:
            if self._dal is None:
                try:
                    self._dal = self._define()
                except RuntimeError as error:
                    # PyDAL turns the driver's error into the text of a traceback, which ends with what happened.
                    reason = re.split(r"^[\w.]+: ", str(error), flags=re.MULTILINE)[-1]
                    raise DatabaseUnavailable(f"{self.address}: {' '.join(reason.split())}") from None
            return self._dal
        finally:
            self._lock.release()

    def _define(self) -> DAL:
        dal = DAL(
            self.address.uri,
            pool_size=0,
            attempts=1,
            decode_credentials=True,
            driver_args=self._dialect.arguments(self.address.authority),
            migrate_enabled=False,
        )
        self._dialect.install(dal)
        tables.define(dal)
        self._give_back(dal._adapter, (dal._adapter.driver.Error,))
        return dal


def _close(pool: deque[Any]) -> None:
    while pool:
        pool.pop().close()
