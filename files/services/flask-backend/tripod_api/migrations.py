"""The schema's versions, and the steps between them.

Each entry of MIGRATIONS moves the schema one version on, and none is ever edited: databases out there have run it.
Workers of the release before serve while a step runs, so that it adds, and takes away only what no release uses any
more. Where a server does not undo definitions (MySQL) a step that was cut off goes on with the statement that it was
cut off in, which may have been carried out, so that each must bear to be repeated.

PyDAL's own migrations are not used, as they keep their memory in files beside the process, and drop a column that the
code forgot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydal import DAL

from .dialects import DIALECTS

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE users (
            id {identity},
            email VARCHAR(254) NOT NULL UNIQUE,
            password_hash VARCHAR(60) NOT NULL,
            full_name VARCHAR(200) NOT NULL,
            role VARCHAR(16) NOT NULL CHECK (role IN ('admin', 'maintainer', 'viewer')),
            is_active {boolean} NOT NULL,
            created_at {datetime} NOT NULL,
            signed_in_at {datetime}
        ){options}""",
        # The reference is a line of its own, as MySQL reads over one beside a column.
        """CREATE TABLE sessions (
            id {identity},
            user_id BIGINT NOT NULL,
            created_at {datetime} NOT NULL,
            expires_at {datetime} NOT NULL,
            revoked_at {datetime},
            CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        ){options}""",
        "CREATE INDEX sessions_user_id ON sessions (user_id)",
        "CREATE INDEX sessions_expires_at ON sessions (expires_at)",
        """CREATE TABLE refresh_tokens (
            id {identity},
            session_id BIGINT NOT NULL,
            token_hash CHAR(64) NOT NULL UNIQUE,
            used_at {datetime},
            CONSTRAINT refresh_tokens_session_id_fkey
                FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
        ){options}""",
        "CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id)",
    ),
    (
        # Who used a token, and how often again within the grace.
        "ALTER TABLE refresh_tokens ADD COLUMN used_by CHAR(64)",
        "ALTER TABLE refresh_tokens ADD COLUMN reuses INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE failed_logins (
            kind INTEGER NOT NULL,
            place INTEGER NOT NULL,
            until BIGINT NOT NULL,
            PRIMARY KEY (kind, place)
        ){options}""",
        """CREATE TABLE known_clients (
            id {identity},
            user_id BIGINT NOT NULL,
            client CHAR(64) NOT NULL,
            seen_at {datetime} NOT NULL,
            UNIQUE (user_id, client),
            CONSTRAINT known_clients_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        ){options}""",
    ),
    (
        """CREATE TABLE api_tokens (
            id {identity},
            user_id BIGINT NOT NULL,
            name VARCHAR(64) NOT NULL,
            token_hash CHAR(64) NOT NULL UNIQUE,
            scopes VARCHAR(400) NOT NULL,
            created_at {datetime} NOT NULL,
            expires_at {datetime} NOT NULL,
            revoked_at {datetime},
            used_at {datetime},
            CONSTRAINT api_tokens_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        ){options}""",
        # Of what was, and stays when the account is gone: so nothing refers to it, and it refers to nothing.
        """CREATE TABLE audit (
            id {identity},
            moment {datetime} NOT NULL,
            request_id VARCHAR(64) NOT NULL,
            user_id BIGINT,
            account VARCHAR(254) NOT NULL,
            token_id BIGINT,
            client VARCHAR(64) NOT NULL,
            action VARCHAR(64) NOT NULL,
            target VARCHAR(300) NOT NULL,
            was {text},
            became {text}
        ){options}""",
        "{no_update_of_audit}",
        "{no_delete_of_audit}",
    ),
    (
        # Of a session token_id is 0, as a key with nulls is unique to nobody.
        """CREATE TABLE idempotency_keys (
            id {identity},
            user_id BIGINT NOT NULL,
            token_id BIGINT NOT NULL,
            key_hash CHAR(64) NOT NULL,
            request_hash CHAR(64) NOT NULL,
            began_at {datetime} NOT NULL,
            state VARCHAR(16) NOT NULL,
            status INTEGER,
            etag VARCHAR(64),
            answer {text},
            UNIQUE (user_id, token_id, key_hash),
            CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        ){options}""",
        "CREATE INDEX idempotency_keys_began_at ON idempotency_keys (began_at)",
    ),
    (
        """CREATE TABLE policy_copies (
            id {identity},
            host VARCHAR(64) NOT NULL,
            policy VARCHAR(64) NOT NULL,
            revision BIGINT NOT NULL,
            digest VARCHAR(128) NOT NULL,
            document {text} NOT NULL,
            kept_at {datetime} NOT NULL,
            UNIQUE (host, policy)
        ){options}""",
    ),
    (
        # Moments are microseconds of Unix time, as a datetime of MySQL has whole seconds. `source_key` is the address
        # as 32 hexadecimal digits, so that a prefix is a range of texts.
        """CREATE TABLE drops (
            id {identity},
            host VARCHAR(64) NOT NULL,
            moment BIGINT NOT NULL,
            interface VARCHAR(16) NOT NULL,
            queue BIGINT NOT NULL,
            verdict VARCHAR(32) NOT NULL,
            reason VARCHAR(32) NOT NULL,
            part VARCHAR(100),
            would VARCHAR(32),
            would_reason VARCHAR(32),
            would_part VARCHAR(100),
            length BIGINT NOT NULL,
            source VARCHAR(45),
            source_key CHAR(32),
            destination VARCHAR(45),
            protocol INTEGER,
            source_port INTEGER,
            destination_port INTEGER,
            vlan INTEGER,
            lost BIGINT NOT NULL
        ){options}""",
        "CREATE INDEX drops_host ON drops (host, id)",
    ),
)


class SchemaMismatch(Exception):
    """The schema is another release's; the message says what to do."""


class MigrationFailed(Exception):
    """A step did not succeed; the message says which, and what the server said."""


def newest() -> int:
    """Return the version that this release works with."""
    return len(MIGRATIONS)


def version(dal: DAL) -> int:
    """Return the schema's version, 0 where nothing is there yet."""
    if not DIALECTS[dal._adapter.dbengine].has(dal, "schema_version"):
        return 0
    ((found,),) = dal.executesql("SELECT COALESCE(MAX(version), 0) FROM schema_version")
    return max(int(found), 0)


def check(dal: DAL) -> None:
    """Hold the schema against this release.

    Raises:
        SchemaMismatch: It is another one's.
    """
    found = version(dal)
    if found > newest():
        raise SchemaMismatch(
            f"The database's schema is version {found}, this release knows {newest()}; "
            "run the newer release, or restore the backup made before it."
        )
    if found < newest():
        raise SchemaMismatch(
            f"The database's schema is version {found}, this release needs {newest()}; "
            "run this release's `python3 -m tripod_api.migrate`, which keeps what is there."
        )


def migrate(dal: DAL) -> int:
    """Bring the schema to the newest version, within a transaction that holds the schema's lock.

    Returns:
        The version that it had.

    Raises:
        SchemaMismatch: It is a newer release's.
        MigrationFailed: A step did not succeed.
    """
    before = version(dal)
    if before > newest():
        check(dal)
    with _told("the schema cannot be changed", dal):
        options = _types(dal)["options"]
        dal.executesql(f"CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL){options}")
    for number in range(before + 1, newest() + 1):
        with _told(f"the step to version {number} of the schema", dal):
            _step(dal, number)
    return before


@contextmanager
def _told(what: str, dal: DAL) -> Iterator[None]:
    """Say what a refusal of the server's prevented, and the way out of it where the server does not."""
    driver = dal._adapter.driver
    try:
        yield
    except driver.Error as error:
        # One that went away, or was late, is no refusal; SQLite's and MariaDB's refusals are of the same class.
        if isinstance(error, driver.OperationalError) and dal._adapter.dbengine == "postgres":
            raise
        way_out = DIALECTS[dal._adapter.dbengine].ways_out.get(error.args[0]) if error.args else None
        reason = ": ".join(filter(None, (what, way_out, " ".join(str(error).split()))))
        raise MigrationFailed(reason) from error


def _step(dal: DAL, number: int) -> None:
    statements = [statement.format_map(_types(dal)) for statement in MIGRATIONS[number - 1]]
    if DIALECTS[dal._adapter.dbengine].undoes_definitions:
        for statement in statements:
            dal.executesql(statement)
    else:
        _step_for_good(dal, number, statements)
    dal.executesql(f"INSERT INTO schema_version (version) VALUES ({number})")  # noqa: S608


def _step_for_good(dal: DAL, number: int, statements: Sequence[str]) -> None:
    """Carry out statements each of which stays, whatever becomes of the next.

    Each is marked before it is sent, as a version below 0. The last mark is that of the statement that was cut off: of
    it alone nobody knows whether it was carried out. What another one finds there already is somebody else's.
    """
    marks = [row[0] for row in dal.executesql("SELECT version FROM schema_version WHERE version < 0")]
    cut_off = max((at for at in range(len(statements)) if _mark(number, at) in marks), default=None)
    for at in range(cut_off or 0, len(statements)):
        if at != cut_off:
            dal.executesql(f"INSERT INTO schema_version (version) VALUES ({_mark(number, at)})")  # noqa: S608
            dal.commit()
        _define(dal, statements[at], _mark(number, at), again=at == cut_off)
    dal.executesql("DELETE FROM schema_version WHERE version < 0")


def _mark(number: int, at: int) -> int:
    return -(number * 1000 + at)


def _define(dal: DAL, statement: str, mark: int, again: bool) -> None:
    driver = dal._adapter.driver
    try:
        dal.executesql(statement)
    except driver.Error as error:
        if again:
            if error.args[0] in DIALECTS[dal._adapter.dbengine].repeated:
                return
            raise
        # It was refused, so that the next run has nothing to take up. Where the connection is lost instead, it may
        # have been carried out, and the mark stays, as this fails too.
        with suppress(driver.Error):
            dal.executesql(f"DELETE FROM schema_version WHERE version = {mark}")  # noqa: S608
            dal.commit()
        raise


def _types(dal: DAL) -> Any:
    return DIALECTS[dal._adapter.dbengine].types
