"""The entrypoint with the image's own PostgreSQL: first starts, later starts, cut-short starts, and refusals."""

from __future__ import annotations

import shutil
import signal
import time

import psycopg2
import pytest
from server import PASSWORD, Server


def test_first_start_makes_an_ordinary_account_and_checksums(server):
    server.start()
    assert server.query("SHOW data_checksums") == [("on",)]
    assert server.query(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
        " FROM pg_roles WHERE rolname = current_user"
    ) == [(False,) * 5]
    assert server.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'tripod'") == [("tripod_api",)]
    server.query("CREATE TABLE proof (x int)")
    assert PASSWORD not in server.log.read_text()


def test_only_the_right_password_and_account_enter_from_the_network(server):
    server.start()
    for user, password in [("tripod_api", "wrong"), ("tripod_api", ""), ("postgres", PASSWORD), ("postgres", "")]:
        with pytest.raises(psycopg2.OperationalError):
            server.query("SELECT 1", password, user)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host="127.0.0.1", port=server.port, user="tripod_api", password=PASSWORD, dbname="postgres")


def test_a_new_password_takes_effect_at_the_next_start(server):
    server.start()
    server.query("CREATE TABLE proof AS SELECT 42 AS x")
    assert server.stop() == 0
    server.secret.write_text("another $(id) `id` password")
    server.start()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        server.query("SELECT 1")
    assert server.query("SELECT x FROM proof", "another $(id) `id` password") == [(42,)]


def test_what_was_committed_survives_a_kill(server):
    server.start()
    server.query("CREATE TABLE proof AS SELECT 42 AS x")
    server.stop(signal.SIGKILL)
    server.start()
    assert server.query("SELECT x FROM proof") == [(42,)]
    assert "not properly shut down" in server.log.read_text()


def test_a_first_start_cut_short_at_any_time_is_made_good(server):
    for delay in (0.05, 0.3, 0.6, 0.9):
        server.launch()
        time.sleep(delay)
        server.kill()
    server.start()
    assert server.query("SELECT 1") == [(1,)]
    assert not (server.data / ".initdb").exists()


def test_a_volume_serves_one_server_at_a_time(server, tmp_path):
    server.start()
    other = Server(tmp_path, server.port + 1)
    assert "in use by another container" in other.refuse()
    assert server.query("SELECT 1") == [(1,)]


@pytest.mark.parametrize("where", [".", "16"])
def test_a_cluster_of_another_make_is_refused_and_left_alone(server, where):
    other = server.data / where
    other.mkdir(exist_ok=True)
    (other / "PG_VERSION").write_text("16\n")
    assert "holds a cluster of version 16" in server.refuse()
    assert {path.name for path in server.data.iterdir()} <= {".lock", "16", "PG_VERSION"}


def test_a_damaged_cluster_is_never_made_anew(server):
    server.start()
    server.stop()
    (cluster,) = server.data.glob("[0-9]*")
    (cluster / "PG_VERSION").unlink()
    assert "has no PG_VERSION, so it is not a whole cluster" in server.refuse()
    assert (cluster / "base").is_dir()
    (cluster / "PG_VERSION").write_text(cluster.name)
    shutil.rmtree(cluster / "pg_xact")
    assert "does not start; its messages are above" in server.refuse()
    (cluster / "global/pg_control").unlink()
    assert "has no global/pg_control, so it is not a whole cluster" in server.refuse()
    assert (cluster / "base").is_dir()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"DB_NAME": ""}, "DB_NAME is not set"),
        ({"DB_NAME": "postgres"}, "DB_NAME is 'postgres'"),
        ({"DB_NAME": "a-b"}, "DB_NAME is 'a-b'"),
        ({"DB_NAME": "x" * 64}, "at most 63"),
        ({"DB_USER": "postgres"}, "DB_USER is 'postgres'"),
        ({"DB_USER": "pg_monitor"}, "DB_USER is 'pg_monitor'"),
        ({"DB_USER": "Bob"}, "DB_USER is 'Bob'"),
        ({"DB_USER": 'a"; DROP'}, "DB_USER is"),
        ({"DB_PASSWORD_FILE": ""}, "DB_PASSWORD_FILE is not set"),
        ({"DB_PASSWORD_FILE": "/nonexistent"}, "cannot read /nonexistent as uid"),
        ({"DB_PASSWORD_FILE": "/dev/null"}, "less than 12 bytes"),
        ({"PGDATA": "/nonexistent"}, "/nonexistent is no directory"),
        ({"PGDATA": "/dev/null"}, "/dev/null is no directory"),
    ],
)
def test_refusals_come_before_anything_is_made(server, environ, reason):
    assert reason in server.refuse(**environ)
    assert list(server.data.iterdir()) == []
