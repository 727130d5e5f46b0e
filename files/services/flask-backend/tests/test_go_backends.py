"""Two real go-backends with certificates of their hosts, behind one API: frozen, killed, and under another's name."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from authority import Authority
from conftest import SECRET, Caller
from flask import Flask
from service import PATIENCE, free_port
from test_planes import quick

from tripod_api import channel
from tripod_api.config import GoBackend, Settings

pytestmark = pytest.mark.databases("sqlite")

NAMES = ("edge1", "edge2")


def support() -> ModuleType:
    """Return what the repository's own tests build go-backend by."""
    path = Path(__file__).resolve().parent.joinpath("../../../../tests/support/go_backend.py").resolve()
    if not path.exists():
        pytest.skip("go-backend is not part of the image's build context; its stage is several-hosts")
    spec = importlib.util.spec_from_file_location("go_backend", path)
    assert spec
    assert spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("TRIPOD_GO_BACKEND"):
        return Path(given)
    try:
        made: Path = support().build(tmp_path_factory.mktemp("go"), "./cmd/go-backend")
    except SystemExit as missing:
        pytest.skip(str(missing))
    return made


@pytest.fixture
def settings(settings: Settings, authority: Authority, tmp_path: Path) -> Settings:
    hosts = (GoBackend(one, f"127.0.0.1:{free_port()}", SECRET, f"go-backend.{one}") for one in NAMES)
    return replace(settings, hosts=tuple(hosts), tls_directory=authority.issue(tmp_path / "api", "flask-backend"))


Begin = Callable[[GoBackend, str], subprocess.Popen[bytes]]


@pytest.fixture
def begin(binary: Path, authority: Authority, tmp_path: Path) -> Iterator[Begin]:
    """Run go-backend as a host's, with a certificate for a name."""
    running: list[subprocess.Popen[bytes]] = []
    (tmp_path / "policy_secret").write_text(SECRET)

    def one(host: GoBackend, name: str) -> subprocess.Popen[bytes]:
        environ = {
            "HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
            "GRPC_ADDRESS": host.target,
            "XDP_PIN_ROOT": str(tmp_path / "pins"),
            "XDP_OBJECT": str(tmp_path / "tripod_xdp.bpf.o"),
            "POLICY_SOCKET": str(tmp_path / "policy.sock"),
            "POLICY_SECRET_FILE": str(tmp_path / "policy_secret"),
            "TLS_DIRECTORY": str(authority.issue(tmp_path / f"tls-{host.name}", name)),
        }
        with (tmp_path / f"{host.name}.log").open("ab") as log:
            running.append(subprocess.Popen([binary], env=environ, stdout=log, stderr=log))
        return running[-1]

    yield one
    for process in running:
        process.kill()
        process.wait()


def reachable(admin: Caller) -> dict[str, bool]:
    return {one["host"]: one["reachable"] for one in admin("GET", "/hosts").json["hosts"]}


def eventually(admin: Caller, expected: dict[str, bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := reachable(admin)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def status(admin: Caller, name: str) -> dict[str, Any]:
    found: dict[str, Any] = admin("GET", f"/dataplane/status?host={name}").json
    return found


def test_one_that_is_frozen_or_killed_slows_nobody_down(
    app: Flask, admin: Caller, settings: Settings, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "OPEN_SECONDS", 0.5)
    _, second = (begin(host, host.tls_name) for host in settings.hosts)
    eventually(admin, dict.fromkeys(NAMES, True))
    # It has no program to look after, and says so.
    assert status(admin, "edge1")["status"] == "not_serving"

    quick(app, admin, "/dataplane/status?host=edge1")
    for stop in (signal.SIGSTOP, signal.SIGKILL):
        os.kill(second.pid, stop)
        assert reachable(admin) == {"edge1": True, "edge2": False}
        quick(app, admin, "/dataplane/status?host=edge1")
        assert status(admin, "edge2")["reachable"] is False
    second.wait()
    begin(settings.hosts[1], "go-backend.edge2")
    eventually(admin, dict.fromkeys(NAMES, True))


def test_a_host_does_not_pass_for_another(
    admin: Caller, settings: Settings, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = settings.hosts
    begin(first, "go-backend.edge1")
    eventually(admin, {"edge1": True, "edge2": False})
    begin(second, "go-backend.edge1")
    deadline = time.monotonic() + PATIENCE
    with caplog.at_level(logging.WARNING):
        words = ""
        while "Hostname Verification Check failed" not in words:
            assert time.monotonic() < deadline, words
            assert status(admin, "edge2")["reachable"] is False
            words = " ".join(str(getattr(record, "reason", "")) for record in caplog.records)
            time.sleep(0.2)
    of_names = [record.__dict__ for record in caplog.records if "Hostname" in str(record.__dict__.get("reason"))]
    assert {record["host"] for record in of_names} == {"edge2"}
    assert status(admin, "edge1")["reachable"] is True
