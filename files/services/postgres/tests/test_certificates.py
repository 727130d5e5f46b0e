"""With certificates nobody comes in over the network without TLS, and a new one takes no restart."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psycopg2
import pytest
from server import Server


def issue(directory: Path, days: str = "2") -> Path:
    """Make a certificate for localhost that is its own authority, and its key."""
    directory.mkdir(exist_ok=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory / "tls.key")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run(
        ["openssl", "req", "-x509", *key, *names, "-days", days, "-out", directory / "tls.crt"],
        check=True,
        capture_output=True,
    )
    (directory / "tls.key").chmod(0o400)
    return directory


def test_only_tls_comes_in_and_a_new_certificate_takes_a_reload(server: Server, tmp_path: Path) -> None:
    place = issue(tmp_path / "certificates")
    server.start(TLS_DIRECTORY=str(place))
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        server.query("SELECT 1", sslmode="disable")
    checked = {"host": "localhost", "sslmode": "verify-full", "sslrootcert": str(place / "tls.crt")}
    version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert server.query(version, **checked) == [("TLSv1.3",)]
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        server.query("SELECT 1", **(checked | {"host": "127.0.0.1"}))
    former = tmp_path / "former.crt"
    former.write_bytes((place / "tls.crt").read_bytes())
    (place / "tls.key").unlink()
    issue(place)
    assert server.query("SELECT 1", **(checked | {"sslrootcert": str(former)})) == [(1,)]
    # As the role does it.
    reload = (
        "SELECT pg_reload_conf() WHERE (pg_stat_file('{}')).modification >= date_trunc('second', pg_conf_load_time())"
    )
    command = ["psql", "--host=/run/postgresql", f"--port={server.port}", "--username=postgres", "--dbname=postgres"]
    # A file's time is in whole seconds: within the same one it might be newer than what is read.
    time.sleep(1)
    for said in ("t", ""):
        done = subprocess.run(
            [*command, "--tuples-only", "--no-align", "--command", reload.format(place / "tls.crt")],
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == said
        # The server is told by a signal.
        time.sleep(1)
    # The server reads it a moment later.
    deadline = time.monotonic() + 10
    while True:
        try:
            assert server.query("SELECT 1", **checked) == [(1,)]
            break
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        server.query("SELECT 1", **(checked | {"sslrootcert": str(former)}))


def test_a_start_without_its_certificates_is_refused(server: Server, tmp_path: Path) -> None:
    tmp_path.joinpath("empty").mkdir()
    assert "TLS_DIRECTORY: cannot read" in server.refuse(TLS_DIRECTORY=str(tmp_path / "empty"))
