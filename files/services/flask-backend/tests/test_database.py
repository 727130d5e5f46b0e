"""The schema, its migrations, and how a start finds the database."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import patch

import bcrypt
import pytest
from conftest import ADMIN, PASSWORD, sign_in
from service import free_port

from tripod_api import migrations
from tripod_api.app import create_app
from tripod_api.config import ConfigError, Settings
from tripod_api.config import Database as Address
from tripod_api.database import Database, DatabaseUnavailable
from tripod_api.migrate import prepare
from tripod_api.migrations import MIGRATIONS


def test_a_database_of_the_first_release_is_brought_up_to_date_without_loss(settings: Settings) -> None:
    """One that has accounts, sessions and a refresh token out there."""
    old = Database(settings.database)
    with patch.object(migrations, "MIGRATIONS", MIGRATIONS[:1]):
        old.migrate()
    password_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    token = "x" * 43
    with old.transaction(any_schema=True) as db:
        for statement in (
            "INSERT INTO users (email, password_hash, full_name, role, is_active, created_at) VALUES "
            f"('{ADMIN}', '{password_hash}', 'First', 'admin', {{true}}, '2026-01-01 00:00:00')",
            "INSERT INTO sessions (user_id, created_at, expires_at) VALUES "
            "(1, '2026-01-01 00:00:00', '2036-01-01 00:00:00')",
            "INSERT INTO refresh_tokens (session_id, token_hash) VALUES "
            f"(1, '{hashlib.sha256(token.encode()).hexdigest()}')",
        ):
            db.executesql(statement.replace("{true}", "TRUE" if settings.database.type == "postgres" else "'T'"))
    prepare(settings)
    app = create_app(settings)
    assert sign_in(app).user["full_name"] == "First"
    answer = app.test_client().post("/api/v1/auth/refresh", json={"refresh_token": token})
    assert answer.status_code == 200
    again = app.test_client().post("/api/v1/auth/refresh", json={"refresh_token": answer.json["refresh_token"]})
    assert again.status_code == 200
    with old.transaction() as db:
        assert db.executesql("SELECT MAX(version) FROM schema_version")[0][0] == len(MIGRATIONS)


def test_a_used_token_of_the_first_release_is_no_grace(settings: Settings) -> None:
    prepare(settings)
    app = create_app(settings)
    mine = sign_in(app)
    mine.refreshed()
    with app.extensions["tripod"].database.transaction() as db:
        db(db.refresh_tokens).update(used_by=None)
    answer = mine.client.post("/api/v1/auth/refresh", json={"refresh_token": mine.refresh})
    assert answer.json["code"] == "refresh_token_reused"


def test_replicas_that_start_together_make_one_admin(settings: Settings) -> None:
    Database(settings.database).migrate()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: prepare(settings), range(4)))
    with Database(settings.database).transaction() as db:
        assert [(row.email, row.role) for row in db(db.users).select()] == [(ADMIN, "admin")]


def test_the_admin_password_file_matters_only_once(settings: Settings) -> None:
    prepare(settings)
    prepare(replace(settings, admin_password="quite another one"))
    prepare(replace(settings, admin_password=None))
    assert sign_in(create_app(settings)).user["email"] == ADMIN


def test_without_admin_and_password_there_is_no_start(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no active admin yet, and ADMIN_PASSWORD_FILE"):
        prepare(replace(settings, admin_password=None))


def test_a_bad_admin_address_is_told_without_the_password(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"ADMIN_EMAIL.*email: ") as caught:
        prepare(replace(settings, admin_email="nobody"))
    assert str(settings.admin_password) not in str(caught.value)


def test_an_unreachable_database_is_named_without_its_password() -> None:
    address = Address("postgres", "tripod", "127.0.0.1", free_port(), "tripod", "a password to hide")
    with pytest.raises(DatabaseUnavailable, match=rf"127\.0\.0\.1:{address.port}.*user tripod.*refused") as caught:
        Database(address).ping()
    assert address.password not in f"{caught.value!r} {caught.value.__cause__!r} {address!r}"


def test_sqlite_in_a_missing_folder_is_named() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"SQLite /nonexistent/tripod\.db: unable to open"):
        Database(Address("sqlite", "/nonexistent/tripod.db")).ping()
