"""PostgreSQL over TLS: the certificate and its name are checked, and each connection reads the authority anew."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from authority import Authority, put
from servers import Cluster

from tripod_api.config import Database as Address
from tripod_api.database import Database, DatabaseUnavailable
from tripod_api.identity import AUTHORITY, CERTIFICATE, KEY

ENCRYPTED = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


class Server:
    """The tests' own server, with certificates."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        assert cluster.home
        self.cluster = cluster
        self.place = cluster.home / "tls"
        self.authority = Authority(home)

    def present(self, name: str, authority: Authority | None = None, days: int = 1) -> None:
        """Have it show a certificate for a name to who connects from now on."""
        (authority or self.authority).issue(self.place, name, days)
        for path in (self.place, *self.place.iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o600)
            if os.getuid() == 0:
                shutil.chown(path, "nobody", pwd.getpwnam("nobody").pw_gid)
        for setting, value in (("ssl_cert_file", CERTIFICATE), ("ssl_key_file", KEY)):
            self.cluster.execute(f"ALTER SYSTEM SET {setting} = '{self.place / value}'")
        self.cluster.execute("ALTER SYSTEM SET ssl = on")
        self.cluster.control("reload")


@pytest.fixture
def server(own_cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    found = Server(own_cluster, tmp_path)
    yield found
    own_cluster.execute("ALTER SYSTEM RESET ALL")
    own_cluster.control("reload")
    shutil.rmtree(found.place, ignore_errors=True)


@pytest.fixture
def address(server: Server, own_cluster: Cluster, tmp_path: Path) -> Iterator[Address]:
    made = own_cluster.create_database()
    Database(made).migrate()
    trusted = tmp_path / AUTHORITY
    put(trusted, server.authority.text)
    # By the name in the certificate, which has to be one that this machine resolves.
    yield replace(made, host="localhost", authority=str(trusted))
    own_cluster.drop_database(made)


def test_sessions_are_encrypted_and_the_servers_name_is_checked(server: Server, address: Address) -> None:
    server.present("localhost")
    with Database(address).transaction() as db:
        ((encrypted, version),) = db.executesql(ENCRYPTED)
    assert (encrypted, version) == (True, "TLSv1.3")
    # A new certificate is for new connections; the one that is there goes on.
    database = Database(address)
    database.ping()
    server.present("localhost")
    database.ping()
    Database(address).ping()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("name", 'server certificate for "postgres" does not match host name "localhost"'),
        ("authority", "certificate verify failed"),
        ("expired", "certificate verify failed"),
    ],
)
def test_another_server_is_refused_in_words(
    fault: str, words: str, server: Server, address: Address, tmp_path: Path
) -> None:
    server.present(
        "postgres" if fault == "name" else "localhost",
        Authority(tmp_path) if fault == "authority" else None,
        0 if fault == "expired" else 1,
    )
    with pytest.raises(DatabaseUnavailable, match=words):
        Database(address).ping()


def test_a_server_without_tls_is_refused(address: Address) -> None:
    with pytest.raises(DatabaseUnavailable, match="server does not support SSL, but SSL was required"):
        Database(address).ping()


def test_a_rotation_takes_no_new_process(server: Server, address: Address, tmp_path: Path) -> None:
    server.present("localhost")
    database = Database(address)
    database.ping()
    second = Authority(tmp_path)
    put(Path(address.authority), server.authority.text + second.text)
    database.ping()
    server.present("localhost", second)
    database.ping()
    # One that has to connect anew, as its connections were closed.
    server.cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{address.name}'")
    with Database(address).transaction() as db:
        assert db.executesql(ENCRYPTED)[0][0] is True
