"""MariaDB over TLS: sessions are encrypted, and the server's certificate and name are checked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from authority import Authority, put
from servers import belong_to_nobody, own_maria

from tripod_api.config import Database as Address
from tripod_api.database import Database, DatabaseUnavailable
from tripod_api.identity import AUTHORITY, CERTIFICATE, KEY


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Path]:
    home = tmp_path_factory.mktemp("authority")
    authority = Authority(home)
    put(home / AUTHORITY, authority.text)
    return authority, home / AUTHORITY


@pytest.fixture(scope="module")
def address(trusted: tuple[Authority, Path]) -> Iterator[Address]:
    """A database on a server with a certificate for localhost."""
    authority, path = trusted
    # pytest's own directories are root's alone.
    with tempfile.TemporaryDirectory(prefix="tripod-tls-") as home:
        place = Path(home) / "tls"
        authority.issue(place, "localhost", 1)
        belong_to_nobody(Path(home), place, *place.iterdir())
        with own_maria(f"--ssl-cert={place / CERTIFICATE}", f"--ssl-key={place / KEY}") as server:
            yield replace(server.create_database(), host="localhost", authority=str(path))


def test_sessions_are_encrypted(address: Address) -> None:
    with Database(address).transaction(any_schema=True) as db:
        ((_, cipher),) = db.executesql("SHOW STATUS LIKE 'Ssl_cipher'")
    assert cipher


def test_another_name_is_refused(address: Address) -> None:
    with pytest.raises(DatabaseUnavailable, match=r"certificate is not valid for '127\.0\.0\.1'"):
        Database(replace(address, host="127.0.0.1")).ping()


def test_another_authority_is_refused(address: Address, tmp_path: Path) -> None:
    put(tmp_path / AUTHORITY, Authority(tmp_path).text)
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        Database(replace(address, authority=str(tmp_path / AUTHORITY))).ping()


def test_a_server_without_tls_is_refused(trusted: tuple[Authority, Path]) -> None:
    # From MariaDB 11.4 on a server that is told nothing makes itself a certificate.
    with own_maria("--skip-ssl") as maria:
        plain = Address("mysql", "mysql", maria.host, maria.port, maria.user, maria.password, authority=str(trusted[1]))
        with pytest.raises(DatabaseUnavailable, match="SSL is required but the server doesn't support it"):
            Database(plain).ping()
