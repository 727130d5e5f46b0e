"""A newcomer's root: what is handed on of this machine, and what keeps its process 1 alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools import newcomer

ROOT = Path(__file__).resolve().parents[3]
DUMP = """\
Acquire "";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::http::Proxy-Auto-Detect "/usr/local/bin/find-proxy";
Acquire::https::CAInfo "";
Acquire::Check-Valid-Until "false";
Acquire::GzipIndexes "true";
Dir::Cache::pkgcache "";
"""


def test_how_apt_fetches_is_handed_on_and_nothing_else():
    assert newcomer.apt_settings(DUMP) == [
        'Acquire::http::Proxy "http://proxy.test:3128"',
        'Acquire::Check-Valid-Until "false"',
    ]


def test_how_registries_are_reached_is_handed_on(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("CA")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    root = tmp_path / "root"
    told = newcomer.settings(
        {
            "https_proxy": "http://proxy.test:3128",
            "PIP_INDEX_URL": "https://index.test/simple",
            "PIP_CERT": str(bundle),
            "PIP_FIND_LINKS": str(wheels),
            "GOPROXY": "direct",
            "GOFLAGS": "-mod=mod",
            "TRIPOD_DEBIAN_MIRROR": "http://mirror.test/debian",
            "USER": "somebody",
            "VIRTUAL_ENV": "/venv",
        },
        root,
    )
    assert sorted(told) == ["GOPROXY", "PIP_CERT", "PIP_INDEX_URL", "TRIPOD_DEBIAN_MIRROR", "https_proxy"]
    assert (root / str(bundle).lstrip("/")).read_text() == "CA"


def test_what_it_runs_is_what_the_readme_tells_newcomers():
    told = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n$ make site " in told
    assert "\n$ make test " in told


def init(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tools.newcomer_init", "--leaves", *words]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_the_first_command_that_fails_is_the_last():
    with init("--", "sh", "-c", "exit 3", "--", "echo", "second") as process:
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.wait(60) == 3
        assert b"second" not in process.stdout.read()


def test_nothing_runs_without_a_network():
    with init("--", "echo", "first") as process:
        assert process.communicate(timeout=60)[0] == b""
        assert process.returncode == 1


def test_the_end_of_its_input_ends_the_command_by_asking_it():
    script = "trap 'echo cleaned up; exit 5' TERM; echo runs; while :; do sleep 0.1; done"
    with init("--", "sh", "-c", script) as process:
        process.stdin.write(b"go\n")
        process.stdin.flush()
        while process.stdout.readline() != b"runs\n":
            assert process.poll() is None
        process.stdin.close()
        assert b"told to end\ncleaned up\n" in process.stdout.read()
        assert process.wait(60) == 5
