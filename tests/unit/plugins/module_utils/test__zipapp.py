"""The agent's archive is the same for everybody, and runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import CoreError, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._host import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._zipapp import Archive, Request, build, version

SOURCES = Path(__file__).resolve().parents[4] / "plugins" / "module_utils"


def archive(path: Path, python: str = sys.executable, source: Path = SOURCES) -> tuple[Archive, Request]:
    request = Request(str(source), python)
    return Archive(request, str(path)), request


def test_the_same_sources_give_the_same_bytes():
    first = {"_agent.py": b"a", "_b.py": b"b"}
    second = dict(reversed(first.items()))
    assert build(first, "/usr/bin/python3") == build(second, "/usr/bin/python3")
    assert version(first) != version({**first, "_b.py": b"c"})


def test_the_archive_runs_and_says_its_version(tmp_path):
    path = tmp_path / "tripod-host"
    subject, request = archive(path)
    outcome = converge(subject, request, Host())
    assert outcome.changed
    assert not converge(subject, request, Host()).changed
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, env={}).stdout
    assert said == f"tripod-host {version(outcome.state.sources)}\n"
    unknown = subprocess.run([path, "sing"], capture_output=True, text=True, check=False)
    assert (unknown.returncode, "invalid choice: 'sing'" in unknown.stderr) == (2, True)


def test_a_check_writes_nothing(tmp_path):
    path = tmp_path / "tripod-host"
    subject, request = archive(path)
    assert converge(subject, request, Host(), check=True).changed
    assert not path.exists()


def test_a_lost_mode_is_put_right(tmp_path):
    path = tmp_path / "tripod-host"
    subject, request = archive(path)
    converge(subject, request, Host())
    path.chmod(0o644)
    assert converge(subject, request, Host()).diff["before"] == {str(path): {"mode": "0644"}}
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize(
    ("python", "source", "words"),
    [
        ("python3", SOURCES, "absolute path"),
        ("/usr/bin/env python3", SOURCES, "absolute path"),
        ("/usr/bin/python3", SOURCES.parent, "holds no _agent.py"),
    ],
)
def test_a_wrong_request_is_refused(tmp_path, python, source, words):
    subject, request = archive(tmp_path / "tripod-host", python, source)
    with pytest.raises(CoreError, match=words):
        converge(subject, request, Host())
    assert list(tmp_path.iterdir()) == []
