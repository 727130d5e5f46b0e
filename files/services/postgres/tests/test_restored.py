"""The entrypoint on directories that somebody restored, moved or mounted: what is there is never called absent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server import Server, free_port

STRANGER = 4242


def give(path: Path, uid: int) -> None:
    """Change the owner of a tree, as a restore by root does; the image's test stage has a command for that."""
    subprocess.run(["chown-as-root", "-R", f"{uid}:{uid}", path], check=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a server that was stopped, with a cluster that holds a table."""
    server = Server(tmp_path_factory.mktemp("made"), free_port())
    server.prepare()
    server.start()
    server.query("CREATE TABLE proof AS SELECT 42 AS x")
    assert server.stop() == 0
    return server.data


@pytest.fixture
def cluster(made: Path, server: Server) -> Iterator[Path]:
    """A cluster of the server, stopped, that holds a table."""
    shutil.copytree(made, server.data, symlinks=True, dirs_exist_ok=True)
    (cluster,) = server.data.glob("[0-9]*")
    yield cluster
    give(server.home, os.getuid())
    subprocess.run(["chmod", "-R", "u+rwX", server.home], check=True)


def serves(server: Server) -> bool:
    """Whether it starts and has its data, which it keeps."""
    server.start()
    kept = server.query("SELECT x FROM proof") == [(42,)]
    server.stop()
    return kept


def everything(cluster: Path) -> Path:
    return cluster.parent


def itself(cluster: Path) -> Path:
    return cluster


def lock(cluster: Path) -> Path:
    return cluster.parent / ".lock"


def one_table(cluster: Path) -> Path:
    return next(path for path in (cluster / "base").glob("*/[0-9]*") if path.is_file())


def version(cluster: Path) -> Path:
    return cluster / "PG_VERSION"


@pytest.mark.parametrize("part", [everything, itself, lock, one_table, version])
def test_what_another_user_owns_is_data_and_the_command_in_the_message_mends_it(
    server: Server, cluster: Path, part: Callable[[Path], Path]
) -> None:
    path = part(cluster)
    give(path, STRANGER)
    said = server.refuse()
    assert f"{path} belongs to uid {STRANGER}" in said
    assert "is no cluster" not in said
    assert "move it away" not in said
    (command,) = re.findall(r"run as root: (chown -R \d+:\d+ \S+) \(", said)
    program, *arguments = command.split()
    subprocess.run([f"{program}-as-root", *arguments], check=True)
    assert serves(server)


@pytest.mark.parametrize(
    ("part", "mode"),
    [(everything, 0o500), (everything, 0o600), (itself, 0), (itself, 0o500), (version, 0), (one_table, 0o400)],
)
def test_a_mode_that_shuts_its_owner_out_is_told_with_its_remedy(
    server: Server, cluster: Path, part: Callable[[Path], Path], mode: int
) -> None:
    path = part(cluster)
    path.chmod(mode)
    said = server.refuse()
    assert f"{path} has mode {mode:o}; run as root: chmod -R u+rwX {path}" in said
    subprocess.run(["chmod", "-R", "u+rwX", path], check=True)
    assert serves(server)


def test_a_cluster_that_lets_others_in_is_told_with_its_remedy(server: Server, cluster: Path) -> None:
    cluster.chmod(0o755)
    assert f"{cluster} has mode 755, which lets others in; run as root: chmod 0700 {cluster}" in server.refuse()


def test_settings_that_only_root_may_write_are_fine(server: Server, cluster: Path) -> None:
    settings = cluster / "postgresql.conf"
    settings.chmod(0o644)
    give(settings, 0)
    assert serves(server)


@pytest.mark.parametrize("name", ["data", "cluster", "pg_wal"])
def test_a_link_to_what_is_not_mounted_is_not_an_empty_place(server: Server, cluster: Path, name: str) -> None:
    link = {"data": server.data, "cluster": cluster, "pg_wal": cluster / "pg_wal"}[name]
    elsewhere = server.home / "elsewhere"
    shutil.move(link, server.home / "unmounted")
    link.symlink_to(elsewhere)
    assert f"{link} is a link to {elsewhere}, where nothing is" in server.refuse()
    shutil.move(server.home / "unmounted", elsewhere)
    assert serves(server)


def test_a_tablespace_that_is_not_mounted_is_told(server: Server, cluster: Path) -> None:
    link = cluster / "pg_tblspc" / "16999"
    link.symlink_to("/not-mounted")
    assert f"{link} is a link to /not-mounted, where nothing is" in server.refuse()


@pytest.mark.parametrize("where", ["16", "16/main", "backup", "a link"])
def test_no_new_cluster_is_made_beside_one_that_cannot_be_seen(server: Server, where: str) -> None:
    top = server.data / where
    if where == "a link":
        top.symlink_to(server.home / "old", target_is_directory=True)
        (server.home / "old").mkdir()
    else:
        top.mkdir(parents=True)
    (top / "PG_VERSION").write_text("16")
    top.resolve().chmod(0o700)
    give(top.resolve(), STRANGER)
    assert f"{top} belongs to uid {STRANGER}" in server.refuse()
    assert not list(server.data.glob("1[7-9]"))
    give(top.resolve(), os.getuid())
    assert f"{top} holds a cluster of version 16 that this image" in server.refuse()


def test_what_mkfs_and_others_leave_in_a_volume_does_not_keep_it_from_being_used(server: Server) -> None:
    found = server.data / "lost+found"
    found.mkdir(mode=0o700)
    give(found, 0)
    (server.data / "README").write_text("of somebody else")
    (server.data / "README").chmod(0)
    server.start()
    assert server.query("SELECT 1") == [(1,)]
    give(found, os.getuid())


def test_a_cluster_in_the_wrong_place_is_named_where_it_is(server: Server, cluster: Path) -> None:
    deeper = server.data / "deeper"
    cluster.rename(deeper)
    cluster.mkdir(mode=0o700)
    deeper.rename(cluster / "main")
    assert f"the cluster in {cluster}/main is one directory too deep" in server.refuse()


def test_a_cluster_under_the_name_of_another_version_is_told(server: Server, cluster: Path) -> None:
    version(cluster).write_text("16\n")
    assert f"{cluster} holds a cluster of version 16; move it to {server.data}/16" in server.refuse()


@pytest.mark.parametrize("left", ["nothing", "PG_VERSION", "an empty PG_VERSION", "a file"])
def test_half_a_cluster_is_never_made_anew(server: Server, cluster: Path, left: str) -> None:
    if left == "an empty PG_VERSION":
        version(cluster).write_text("")
    else:
        shutil.rmtree(cluster)
        if left == "a file":
            cluster.write_text("")
        else:
            cluster.mkdir(mode=0o700)
            if left == "PG_VERSION":
                version(cluster).write_text(f"{cluster.name}\n")
    said = server.refuse()
    assert ("is no directory" if left == "a file" else "not a whole cluster") in said
    assert not (server.data / ".initdb").exists()


def test_an_initdb_of_another_user_is_told(server: Server) -> None:
    left = server.data / ".initdb"
    left.mkdir(mode=0o700)
    give(left, STRANGER)
    assert f"{left} belongs to uid {STRANGER}" in server.refuse()
    give(left, os.getuid())
    server.start()
