"""The schema's versions: the way up, from release 1.0.0 too, and who refuses which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from conftest import ADMIN, PASSWORD, sign_in
from servers import Cluster, Maria
from service import Service

from tripod_api import migrations
from tripod_api.app import create_app
from tripod_api.config import Database as Address
from tripod_api.config import Settings
from tripod_api.database import Database
from tripod_api.dialects import DIALECTS
from tripod_api.migrate import prepare
from tripod_api.migrations import MIGRATIONS, MigrationFailed, SchemaMismatch

# What clients of release 1.0.0 held when release-1.0.0.sql was written.
UNUSED = {
    ADMIN: "the8_tWKnbIVd_-usk0OWtiuty9KcVXEe8bQ75WL7TU",
    "maintainer@example.com": "8zlchhnOeeTaRGBD-9qT-DVoNiCcVDuiJ9bbN7eZJk4",
}
SIGNED_OUT = "a4mPcqw7IJWsMOswfr5Pduiw_eT2DW7WLJbTPmFoxIc"
OF_AN_INACTIVE_ACCOUNT = "LnnXGW-qFjqZmYXR6bD5IbtjjxhId6NHI-QmfISTSiQ"
USED = "MG2Nar7heXzvAUPkFuRgg4XYNep1i4KzJhkYBbasWs8"


def versions(address: Address) -> list[int]:
    with Database(address).transaction(any_schema=True) as db:
        return [row[0] for row in db.executesql("SELECT version FROM schema_version ORDER BY version")]


@pytest.fixture
def released(cluster: Cluster, postgres: Address) -> Address:
    """The database of release 1.0.0."""
    cluster.execute((Path(__file__).parent / "release-1.0.0.sql").read_text(encoding="utf-8"), postgres.name)
    return postgres


def contents(cluster: Cluster, address: Address) -> dict[str, list[Any]]:
    """Return all that release 1.0.0 knows."""
    tables = {
        "users": "id, email, password_hash, full_name, role, is_active, created_at, signed_in_at",
        "sessions": "id, user_id, created_at, expires_at, revoked_at",
        "refresh_tokens": "id, session_id, token_hash, used_at",
    }
    return {
        table: cluster.execute(f"SELECT {columns} FROM {table} ORDER BY id", address.name)
        for table, columns in tables.items()
    }


def schema(cluster: Cluster, address: Address) -> list[Any]:
    """Return every column, constraint and index that there is."""
    columns, constraints, indexes = [
        cluster.execute(statement, address.name)
        for statement in (
            "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default,"
            " is_identity FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        )
    ]
    # A dump writes the types of a list otherwise than the server does.
    plain = [(table, name, re.sub(r"::[a-z ]+(\[\])?|[()]", "", text)) for table, name, text in constraints]
    return [columns, plain, indexes]


def test_a_database_of_release_1_0_0_is_migrated_and_nothing_is_lost(
    cluster: Cluster, released: Address, tmp_path: Path
) -> None:
    before = contents(cluster, released)
    assert [len(rows) for rows in before.values()] == [4, 4, 6]
    service = Service(released, tmp_path)
    try:
        assert contents(cluster, released) == before
        service.wait(service.ready)
        # bcrypt's cost is the dump's, so that the passwords of the fixture serve.
        for email in UNUSED:
            assert service("POST", "/api/v1/auth/login", {"email": email, "password": PASSWORD})[0] == 200

        def refresh(token: str) -> Any:
            status, answer = service("POST", "/api/v1/auth/refresh", {"refresh_token": token})
            return answer["user"]["email"] if status == 200 else answer["code"]

        assert {email: refresh(token) for email, token in UNUSED.items()} == {email: email for email in UNUSED}
        assert {refresh(token) for token in (SIGNED_OUT, OF_AN_INACTIVE_ACCOUNT)} == {"invalid_refresh_token"}
        # Whoever used it is not known, so there is no grace.
        assert refresh(USED) == "refresh_token_reused"
    finally:
        service.kill()
    assert versions(released) == list(range(1, len(MIGRATIONS) + 1))


def test_a_migrated_database_is_as_a_new_one(cluster: Cluster, released: Address) -> None:
    fresh = cluster.create_database()
    try:
        for address in (released, fresh):
            Database(address).migrate()
        assert schema(cluster, released) == schema(cluster, fresh)
    finally:
        cluster.drop_database(fresh)


def test_migrations_run_once_however_many_start(address: Address) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: Database(address).migrate(), range(4)))
    assert sorted(found) == [0, *[len(MIGRATIONS)] * 3]
    assert versions(address) == list(range(1, len(MIGRATIONS) + 1))


def test_the_command_says_what_it_did_and_then_that_there_is_nothing_to_do(address: Address, tmp_path: Path) -> None:
    service = Service(address, tmp_path)
    try:
        first = [line for line in service.first.stdout.splitlines() if line.startswith("changed: ")]
        assert first == [
            f"changed: schema brought from version 0 to {len(MIGRATIONS)}",
            f"changed: first admin created: {ADMIN}",
        ]
        again = service.migrate()
        assert (again.returncode, again.stdout) == (0, "")
    finally:
        service.kill()


@pytest.mark.parametrize("found", [0, 1, 99])
def test_a_schema_of_another_release_is_refused_in_words(settings: Settings, found: int) -> None:
    with patch.object(migrations, "MIGRATIONS", MIGRATIONS[:found]):
        Database(settings.database).migrate()
    if found > len(MIGRATIONS):
        with Database(settings.database).transaction(any_schema=True) as db:
            db.executesql(f"INSERT INTO schema_version (version) VALUES ({found})")
    client = create_app(settings).test_client()
    newer = found > len(MIGRATIONS)
    way_out = "run the newer release" if newer else "run this release's `python3 -m tripod_api.migrate`"
    for answer in (
        client.get("/readyz"),
        client.post("/api/v1/auth/login", json={"email": ADMIN, "password": PASSWORD}),
    ):
        assert (answer.status_code, answer.json["code"]) == (503, "schema_mismatch")
        assert f"schema is version {found}, this release" in answer.json["detail"]
        assert way_out in answer.json["detail"]
    assert client.get("/healthz").status_code == 200
    if newer:
        with pytest.raises(SchemaMismatch, match=f"version {found}.*run the newer release"):
            Database(settings.database).migrate()
    else:
        # Recovers by itself.
        prepare(settings)
        assert client.get("/readyz").status_code == 200
        assert sign_in(create_app(settings)).user["email"] == ADMIN


def test_a_start_leaves_the_schema_alone(postgres: Address, tmp_path: Path, cluster: Cluster) -> None:
    service = Service(postgres, tmp_path, prepared=False)
    try:
        service.wait(lambda: "Booting worker" in service.log.read_text())
        service.wait(lambda: service("GET", "/readyz")[1]["code"] == "schema_mismatch")
        assert schema(cluster, postgres) == [[], [], []]
        assert service.migrate().returncode == 0
        service.wait(service.ready)
        assert service.login()[0] == 200
    finally:
        service.kill()


# How a migration ends before its time: a statement is refused, or the connection is lost.
REFUSED = "NONSENSE"
LOST = "KILL CONNECTION_ID()"


def cut_off(address: Address, number: int, statements: int, end: str = REFUSED) -> None:
    """Leave what a migration leaves that ended after some statements of a step."""
    whole = MIGRATIONS[number - 1]
    broken = (*MIGRATIONS[: number - 1], (*whole[:statements], end))
    told = f"version {number} of the schema: .*(NONSENSE|was killed)"
    with patch.object(migrations, "MIGRATIONS", broken), pytest.raises(MigrationFailed, match=told):
        Database(address).migrate()


def define(address: Address, statement: str) -> None:
    """Carry out a statement of a migration's, or of somebody else."""
    with Database(address).transaction(any_schema=True) as db:
        db.executesql(statement.format_map(DIALECTS[address.type].types))


@pytest.mark.parametrize("end", [REFUSED, LOST])
@pytest.mark.parametrize(("number", "statements"), [(1, 0), (1, 2), (1, 6), (2, 1), (2, 4)])
def test_a_migration_that_was_cut_off_is_taken_up_again(mysql: Address, number: int, statements: int, end: str) -> None:
    cut_off(mysql, number, statements, end)
    Database(mysql).migrate()
    assert versions(mysql) == list(range(1, len(MIGRATIONS) + 1))
    with Database(mysql).transaction() as db:
        assert db(db.users).count() == db(db.known_clients).count() == db(db.refresh_tokens.reuses > 0).count() == 0


# A table, an index, a column, a trigger.
@pytest.mark.parametrize(("number", "statements"), [(1, 0), (1, 2), (2, 0), (3, 2)])
def test_what_the_server_carried_out_after_the_connection_was_lost_is_ours(
    mysql: Address, number: int, statements: int
) -> None:
    cut_off(mysql, number, statements, LOST)
    define(mysql, MIGRATIONS[number - 1][statements])
    Database(mysql).migrate()
    assert versions(mysql) == list(range(1, len(MIGRATIONS) + 1))


def test_a_migration_that_fails_is_undone(cluster: Cluster, released: Address) -> None:
    before = schema(cluster, released)
    cut_off(released, 2, 3)
    assert schema(cluster, released) == before


def test_a_table_of_somebody_else_is_not_taken_for_ours(maria: Maria, mysql: Address) -> None:
    maria.execute(f"CREATE TABLE {mysql.name}.users (id BIGINT)")
    for _ in range(2):
        with pytest.raises(MigrationFailed, match=r"the step to version 1 of the schema: .*'users' already exists"):
            Database(mysql).migrate()
    maria.execute(f"DROP TABLE {mysql.name}.users")
    assert Database(mysql).migrate() == 0


@pytest.mark.parametrize(
    ("number", "statements", "end", "theirs", "reason"),
    [
        (1, 0, REFUSED, "CREATE TABLE users (id BIGINT)", "'users' already exists"),
        # What was cut off is the statement before, and that one alone may be there.
        (1, 3, LOST, "CREATE TABLE refresh_tokens (id BIGINT)", "'refresh_tokens' already exists"),
        (2, 1, REFUSED, "ALTER TABLE refresh_tokens ADD COLUMN reuses BIGINT", "Duplicate column name 'reuses'"),
        (
            3,
            1,
            LOST,
            "CREATE TRIGGER no_update_of_audit BEFORE UPDATE ON users FOR EACH ROW SET @theirs = 1",
            "no_update_of_audit' already exists",
        ),
    ],
)
def test_what_somebody_else_made_since_a_migration_was_cut_off_is_not_taken_for_ours(
    mysql: Address, number: int, statements: int, end: str, theirs: str, reason: str
) -> None:
    cut_off(mysql, number, statements, end)
    define(mysql, theirs)
    for _ in range(2):
        with pytest.raises(MigrationFailed, match=f"the step to version {number} of the schema: .*{reason}"):
            Database(mysql).migrate()


@pytest.fixture
def logging_maria(maria: Maria) -> Maria:
    if maria.execute("SELECT @@log_bin") == ((0,),):
        pytest.skip("the server of TRIPOD_TEST_MARIADB writes no binary log")
    return maria


@contextmanager
def setting(maria: Maria, variable: str, value: str) -> Iterator[None]:
    """Have the server set otherwise for a while."""
    ((usual,),) = maria.execute(f"SELECT @@global.{variable}")
    maria.execute(f"SET GLOBAL {variable} = %s", value)
    try:
        yield
    finally:
        maria.execute(f"SET GLOBAL {variable} = %s", usual)


# As docs/interfaces.md has them.
RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES, TRIGGER"


def test_an_account_that_may_make_no_triggers_beside_a_binary_log_is_told_the_way_out(
    logging_maria: Maria, mysql: Address
) -> None:
    plain = replace(mysql, user=f"plain_{mysql.name}")
    trust = "log_bin_trust_function_creators"
    logging_maria.execute(f"CREATE USER {plain.user} IDENTIFIED BY %s", plain.password)
    try:
        logging_maria.execute(f"GRANT {RIGHTS} ON {mysql.name}.* TO {plain.user}")
        told = rf"version 3 .*: .* triggers: .* grant the account SUPER, or SET GLOBAL {trust} = 1: \(1419, "
        with setting(logging_maria, trust, "OFF"), pytest.raises(MigrationFailed, match=told):
            Database(plain).migrate()
        with setting(logging_maria, trust, "ON"):
            assert Database(plain).migrate() == 2
    finally:
        logging_maria.execute(f"DROP USER {plain.user}")


def test_a_binary_log_of_statements_is_refused_with_the_way_out(logging_maria: Maria, mysql: Address) -> None:
    told = r"version 1 .*: .* binlog_format ROW or MIXED: \(1665, "
    with setting(logging_maria, "binlog_format", "STATEMENT"), pytest.raises(MigrationFailed, match=told):
        Database(mysql).migrate()
    with setting(logging_maria, "binlog_format", "MIXED"):
        assert Database(mysql).migrate() == 0


def test_tables_do_not_depend_on_the_servers_defaults(maria: Maria, mysql: Address) -> None:
    """Which are latin1, and would take É for e."""
    Database(mysql).migrate()
    found = maria.execute(
        "SELECT DISTINCT engine, table_collation FROM information_schema.tables WHERE table_schema = %s", mysql.name
    )
    assert found == (("InnoDB", "utf8mb4_bin"),)


def test_an_account_without_the_right_to_make_tables_is_told(
    cluster: Cluster, postgres: Address, tmp_path: Path
) -> None:
    cluster.execute(f"CREATE ROLE reader_{postgres.name} LOGIN PASSWORD 'a long word to read with'")
    try:
        service = Service(postgres, tmp_path, prepared=False, DB_USER=f"reader_{postgres.name}")
        service.kill()
        (tmp_path / "DB_PASSWORD").write_text("a long word to read with")
        done = service.migrate()
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot prepare the database: the schema cannot be changed: permission denied" in done.stderr
    finally:
        cluster.execute(f"DROP ROLE reader_{postgres.name}")


def test_the_dump_is_of_release_1_0_0(cluster: Cluster, released: Address) -> None:
    """Its tables are those of the first step, whatever became of that one's text."""
    fresh = cluster.create_database()
    try:
        with patch.object(migrations, "MIGRATIONS", MIGRATIONS[:1]):
            Database(fresh).migrate()
        assert schema(cluster, released) == schema(cluster, fresh)
    finally:
        cluster.drop_database(fresh)
