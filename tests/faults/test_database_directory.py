"""The site's image of the database on a directory that was restored, moved or mounted as it should not be."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import docker, eventually, inspect

INSIDE = "/var/lib/postgresql/data"
NAME = "tripod-tests-database"


class Database:
    """A container of the site's image with the site's shared memory, on a directory of its own, that nobody reaches.

    Attributes:
        data: The directory on the host.
        uid: Of the user that the image runs as.
    """

    def __init__(self, home: Path) -> None:
        facts = inspect("postgres")
        self.image: str = facts["Config"]["Image"]
        self.uid = int(facts["Config"]["User"].split(":")[0])
        self._shm = str(facts["HostConfig"]["ShmSize"])
        self.data = home / "data"
        self.data.mkdir(mode=0o700)
        self._secret = home / "db_password"
        self._secret.write_text(secrets.token_hex(16))
        self._secret.chmod(0o444)
        self.chown(self.data, self.uid)

    def chown(self, path: Path, uid: int) -> None:
        """Give a tree to a user, as root does who restores it."""
        subprocess.run(["chown", "-R", f"{uid}:{uid}", path], check=True)

    def start(self, mode: str = "rw") -> None:
        """Start a container on the directory, after the one before it."""
        self.remove()
        names = ("DB_NAME=tripod", "DB_USER=tripod", "DB_PASSWORD_FILE=/db_password", f"PGDATA={INSIDE}")
        docker(
            *("run", "--detach", "--name", NAME, "--network", "none", "--read-only", "--cap-drop", "ALL", "--shm-size"),
            *(self._shm, "--tmpfs", "/tmp", "--tmpfs", f"/run/postgresql:uid={self.uid},gid={self.uid},mode=0755"),
            *(word for name in names for word in ("--env", name)),
            *("--volume", f"{self._secret}:/db_password:ro", "--volume", f"{self.data}:{INSIDE}:{mode}", self.image),
        )

    def refuse(self, mode: str = "rw") -> str:
        """Start where no start is possible; return the reason."""
        self.start(mode)
        assert docker("wait", NAME) == "1"
        done = subprocess.run(["docker", "logs", NAME], check=True, capture_output=True, text=True)
        return done.stdout + done.stderr

    def query(self, statement: str) -> str:
        """Return the answer of the server, once it is there."""
        ready = ["docker", "exec", NAME, "pg_isready", "--quiet", "--host=127.0.0.1"]
        eventually("the server is there", lambda: not subprocess.run(ready, check=False).returncode, seconds=120)
        words = ("--host=/run/postgresql", "--username=postgres", "--dbname=tripod", "--tuples-only", "--no-align")
        return docker("exec", NAME, "psql", *words, "--command", statement)

    def remove(self) -> None:
        """Remove the container, where there is one."""
        subprocess.run(["docker", "stop", "--time", "60", NAME], capture_output=True, check=False)
        subprocess.run(["docker", "rm", "--force", NAME], capture_output=True, check=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with a table in it."""
    database = Database(tmp_path_factory.mktemp("database"))
    try:
        database.start()
        database.query("CREATE TABLE proof AS SELECT 42 AS x")
        yield database
    finally:
        database.remove()


def test_data_of_another_user_is_served_after_the_command_in_the_message(database: Database) -> None:
    database.remove()
    database.chown(database.data, 4242)
    said = database.refuse()
    assert f"{INSIDE} belongs to uid 4242 and PostgreSQL runs as uid {database.uid}" in said
    (command,) = re.findall(r"run as root: (chown -R \d+:\d+ \S+) \(", said)
    subprocess.run(command.replace(INSIDE, str(database.data)).split(), check=True)
    database.start()
    assert database.query("SELECT x FROM proof") == "42"


def test_a_read_only_mount_is_told(database: Database) -> None:
    assert f"{INSIDE} is on a file system that is mounted read-only" in database.refuse("ro")


def test_a_directory_that_its_owner_may_not_write_is_told(database: Database) -> None:
    """As from a server that maps all users to one; here the file system itself refuses."""
    database.remove()
    subprocess.run(["chattr", "+i", database.data], check=True)
    try:
        assert f"{INSIDE} cannot be written by uid {database.uid}, which owns it with mode 700" in database.refuse()
    finally:
        subprocess.run(["chattr", "-i", database.data], check=True)
    database.start()
    assert database.query("SELECT x FROM proof") == "42"


def test_a_query_in_parallel_has_more_shared_memory_than_docker_gives(database: Database) -> None:
    """Three hash joins of 400,000 rows, with the server's own memory for work, take 64.4 MiB."""
    database.start()
    database.query(
        "CREATE TABLE a AS SELECT g AS k, repeat('x', 100) AS v FROM generate_series(1, 400000) g;"
        "CREATE TABLE b AS SELECT * FROM a; ANALYZE"
    )
    eager = "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
    others = "SET enable_sort = off; SET enable_mergejoin = off; SET enable_nestloop = off;"
    joins = "SELECT count(*) FROM a JOIN b USING (k) JOIN a c USING (k) JOIN b d USING (k)"
    assert database.query(f"{eager}{others}{joins}").endswith("400000")
