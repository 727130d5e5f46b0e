"""Users of services and the files that follow them, on this kernel, in an /etc of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.modules import run_module

USERS = [
    {"name": "tripod-test-web", "uid": 597, "comment": "web", "variable": "tripod_webui_uid"},
    {"name": "tripod-test-db", "uid": 598},
]
OLD, NEW, OTHER = 10004, 564, 33


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


def entry(machine: Machine, database: str, name: str) -> str:
    command = [*machine.within, "getent", database, name]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_users_are_reserved_by_name_and_removed_again(machine):
    check = machine.module("service_users", check=True, users=USERS)
    assert check.changed
    assert entry(machine, "passwd", "597") == ""
    assert machine.module("service_users", users=USERS).changed
    assert entry(machine, "passwd", "597") == "tripod-test-web:x:597:597:web:/nonexistent:/usr/sbin/nologin"
    assert entry(machine, "group", "598") == "tripod-test-db:x:598:"
    again = machine.module("service_users", users=USERS)
    assert not again.failed
    assert not again.changed
    assert machine.module("service_users", users=USERS, state="absent").changed
    assert entry(machine, "passwd", "597") == entry(machine, "group", "598") == ""


def test_what_somebody_has_is_refused_by_name_before_anything_is_made(machine):
    machine.run("useradd", "--system", "--uid", "598", "somebody")
    users = [*USERS, {"name": "tripod-test-people", "uid": 10003, "variable": "tripod_go_uid"}]
    refused = machine.module("service_users", users=users)
    assert refused.failed
    assert "tripod-test-db: user somebody has number 598 on this host" in refused.result["msg"]
    assert "tripod-test-people: uid 10003 is in this host's range for people" in refused.result["msg"]
    assert "set tripod_go_uid to a number below" in refused.result["msg"]
    assert entry(machine, "passwd", "597") == ""
    found = machine.module("preflight", users=users, fail=False, distributions=["debian 12", "debian 13"])
    reported = [one["found"] for one in found.result["findings"] if one["subject"] == "users"]
    assert len(reported) == 3, reported  # the number, as that of a user and of a group; and the range


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A cluster as the first release left it, with what must not be touched beside and within it."""
    data = tmp_path / "data"
    (data / "17" / "base" / "5").mkdir(parents=True)
    for number in range(50):
        (data / "17" / "base" / "5" / str(number)).write_text("x" * number)
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    (data / "17" / "way-out").symlink_to(outside)
    for path in (data, *data.rglob("*")):
        os.chown(path, OLD, OLD, follow_symlinks=False)
    (data / "backup-of-root").write_text("root's")
    os.chown(outside, OLD, OLD)
    os.chmod(data, 0o700)
    return data


def owners(top: Path) -> set[tuple[int, int]]:
    found = [path.lstat() for path in (top, *top.rglob("*")) if path.name != "backup-of-root"]
    return {(status.st_uid, status.st_gid) for status in found}


def test_data_follows_its_user_and_nothing_else_does(tree):
    before = {path: (path.lstat().st_mode, path.read_bytes()) for path in tree.rglob("*") if path.is_file()}
    options = {"path": str(tree), "user": NEW, "former": [OLD]}
    assert run_module("owned_tree", options, check=True).changed
    assert owners(tree) == {(OLD, OLD)}
    done = run_module("owned_tree", options)
    assert not done.failed, done.output
    assert owners(tree) == {(NEW, NEW)}
    assert (tree / "backup-of-root").stat().st_uid == 0
    assert (tree.parent / "outside").stat().st_uid == OLD
    assert before == {path: (path.lstat().st_mode, path.read_bytes()) for path in tree.rglob("*") if path.is_file()}
    assert tree.stat().st_mode & 0o7777 == 0o700
    assert not run_module("owned_tree", options).changed


def test_a_run_that_was_killed_half_way_is_completed(tree):
    for path in list(tree.rglob("*"))[::2]:
        os.chown(path, NEW, -1, follow_symlinks=False)
    done = run_module("owned_tree", {"path": str(tree), "user": NEW, "former": [OLD]})
    assert not done.failed, done.output
    assert owners(tree) == {(NEW, NEW)}


def test_data_of_an_unknown_user_is_refused_and_kept(tree):
    os.chown(tree, OTHER, OTHER)
    refused = run_module("owned_tree", {"path": str(tree), "user": NEW, "former": [OLD]})
    assert refused.failed
    assert f"belongs to uid {OTHER}" in refused.result["msg"]
    assert owners(tree) == {(OTHER, OTHER), (OLD, OLD)}


def test_secrets_follow_their_reader_and_keep_their_value(tmp_path):
    path = tmp_path / "secrets" / "db_password"

    def made(owner: int) -> str:
        copies = [{"path": str(path), "owner": owner, "group": owner}]
        done = run_module("secret_files", {"secrets": [{"name": "db_password", "copies": copies}]})
        assert done.changed, done.output
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (owner, owner, 0o400)
        return path.read_text()

    assert made(OLD) == made(NEW)
