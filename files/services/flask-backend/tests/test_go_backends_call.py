"""A real go-backend that calls the real service: killed, frozen, and of a host that was made anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority
from played_agent import PlayedAgent
from service import Service, free_port
from test_copies import OWN
from test_go_backends import binary
from test_policies import SECRET

from tripod_api.config import Database

# A fixture, which pytest finds here.
__all__ = ["binary"]

NAME = "go-backend.edge1"
STARTS = 30.0
# Below the 10 s after which the service comes to look by itself.
AT_ONCE = 8.0
LOOKED = "the API has looked at this host"


class Host:
    """A host: its agent, and a go-backend that may be killed and begun anew."""

    def __init__(self, binary: Path, home: Path, certificates: Path, calls: int) -> None:
        home.mkdir()
        self.agent = PlayedAgent(home / "policy.sock")
        self.grpc, self.http, self.api = free_port(), free_port(), f"127.0.0.1:{calls}"
        self.secret = home / "policy_secret"
        self.secret.write_text(SECRET)
        self._log, self._binary = home / "log", binary
        self._environ = {
            "HTTP_ADDRESS": f"127.0.0.1:{self.http}",
            "GRPC_ADDRESS": f"127.0.0.1:{self.grpc}",
            "XDP_PIN_ROOT": str(home / "pins"),
            "XDP_OBJECT": str(home / "tripod_xdp.bpf.o"),
            "POLICY_SOCKET": str(home / "policy.sock"),
            "POLICY_SECRET_FILE": str(self.secret),
            "TLS_DIRECTORY": str(certificates),
            "CALLBACK_TARGETS": self.api,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([self._binary], env=self._environ, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def looks(self) -> list[list[str]]:
        """Return what was given back by each look of the service that it told of."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return [line["given_back"] or [] for line in lines if line["msg"] == LOOKED]

    def page(self, path: str) -> tuple[str, float]:
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=STARTS) as answer:
            text: str = answer.read().decode()
        return text, time.monotonic() - began

    def circuit(self) -> str:
        text, _ = self.page("/metrics")
        states = ("closed", "half-open", "open")
        found = [one for one in states if f'circuit_state{{api="{self.api}",state="{one}"}} 1' in text]
        assert len(found) == 1, text
        return found[0]


def eventually(what: str, holds: Callable[[], bool], seconds: float = STARTS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def address(sqlite: Database) -> Database:
    return sqlite


@pytest.fixture
def host(binary: Path, authority: Authority, tmp_path: Path) -> Iterator[Host]:
    found = Host(binary, tmp_path / "edge1", authority.issue(tmp_path / "tls-edge1", NAME), free_port())
    yield found
    found.kill()
    found.agent.close()


@pytest.fixture
def api(start: Callable[..., Service], host: Host, authority: Authority, tmp_path: Path) -> Callable[[], Service]:
    """Run the service, again and again."""
    directory = authority.issue(tmp_path / "api", "flask-backend")
    port = host.api.rpartition(":")[2]
    (tmp_path / "GO_BACKEND_SECRET").write_text(SECRET)
    told = {
        "TLS_DIRECTORY": str(directory),
        "GRPC_PORT": port,
        "GO_BACKENDS": json.dumps(
            [
                {
                    "name": "edge1",
                    "target": f"127.0.0.1:{host.grpc}",
                    "tls_name": NAME,
                    "secret_file": str(tmp_path / "GO_BACKEND_SECRET"),
                }
            ]
        ),
    }

    def begin() -> Service:
        service = start(**told)
        service.wait(service.ready, 60)
        return service

    return begin


def all_of(service: Service) -> list[int]:
    return [service.process.pid, *service.children()]


def test_a_host_made_anew_gets_its_part_back_at_once(host: Host, api: Callable[[], Service]) -> None:
    service = api()
    host.agent.change({"rules": []})
    host.agent.change(OWN)
    host.begin()
    eventually("the service was not told", lambda: len(host.looks()) == 1)
    assert host.looks() == [[]]
    # Each worker looks by itself, too, every 10 to 20 s: which may be just then, so that it is first.
    for _ in range(5):
        host.kill()
        host.agent.reinstall()
        before = len(host.looks())
        host.begin()
        eventually("it was not given back at once", lambda: host.agent.own == OWN, AT_ONCE)
        eventually("the service was not told", lambda: len(host.looks()) > before)  # noqa: B023
        if host.looks()[-1] == ["edge"]:
            break
    assert host.looks()[-1] == ["edge"]
    token = service.login()[1]["access_token"]
    trail = service("GET", "/api/v1/audit", token=token)[1]["entries"]
    assert "policy given back done" in {one["action"] for one in trail}


def test_an_api_that_was_killed_is_told_when_it_is_back(host: Host, api: Callable[[], Service]) -> None:
    host.begin()
    eventually("go-backend does not serve", lambda: "alive" in _page(host))
    eventually("the circuit breaker does not open", lambda: host.circuit() == "open")
    for times in (1, 2):
        service = api()
        eventually("the service was not told", lambda: len(host.looks()) == times)  # noqa: B023
        assert host.circuit() == "closed"
        for process in all_of(service):
            os.kill(process, signal.SIGKILL)
        service.process.wait()
        eventually("the circuit breaker does not open", lambda: host.circuit() == "open")


def _page(host: Host) -> str:
    try:
        return host.page("/healthz")[0]
    except OSError:
        return ""


def test_an_api_that_is_frozen_slows_nothing_down(host: Host, api: Callable[[], Service]) -> None:
    service = api()
    host.begin()
    eventually("the service was not told", lambda: len(host.looks()) == 1)
    quiet = sorted(host.page(path)[1] for path in ("/healthz", "/metrics") * 20)
    for process in all_of(service):
        os.kill(process, signal.SIGSTOP)
    try:
        # One that begins then waits for it neither.
        host.kill()
        host.begin()
        eventually("go-backend does not serve", lambda: "alive" in _page(host), AT_ONCE)
        beside = sorted(host.page(path)[1] for path in ("/healthz", "/metrics") * 20)
        assert beside[20] < max(3 * quiet[20], 0.1), (quiet, beside)
        assert len(host.looks()) == 1
    finally:
        for process in all_of(service):
            os.kill(process, signal.SIGCONT)
    eventually("the service was not told", lambda: len(host.looks()) > 1)
    assert host.circuit() == "closed"
