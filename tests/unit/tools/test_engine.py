"""What the tests see of an engine and of a site, against an engine that is a few lines of HTTP on a Unix socket."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tools import engine
from tools.console import Failure


class Api(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The engine's API."""

    daemon_threads = True


class Answer(http.server.BaseHTTPRequestHandler):
    """Its answers, by the path without its query."""

    told: ClassVar[dict[str, object]] = {}

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        content = json.dumps(self.told.get(path, {"message": "broken"})).encode()
        self.send_response(200 if path in self.told else 500)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "nobody"

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A machine without an engine, without a site."""
    names = {"SOCKET": "s", "PID_FILE": "pid", "DATA": "data", "CONFIGURATION": "daemon.json", "SITE_DIRECTORY": "etc"}
    for name, file in {**names, "SYSTEMD": "systemd"}.items():
        monkeypatch.setattr(engine, name, tmp_path / file)
    monkeypatch.setattr(engine, "as_root", list)
    # An engine is asked over its socket, whatever commands there are.
    monkeypatch.setenv("PATH", "/nonexistent")
    return tmp_path


@pytest.fixture
def api(place, monkeypatch) -> Iterator[dict[str, object]]:
    told: dict[str, object] = {"/_ping": "OK", "/containers/json": [], "/volumes": {"Volumes": None}}
    monkeypatch.setattr(Answer, "told", told)
    with Api(str(place / "s"), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def test_a_machine_without_an_engine_has_no_site():
    assert not engine.answers()
    assert not engine.sleeps()
    assert engine.site_remains() == []


def test_a_site_is_seen_without_the_docker_command(api):
    assert engine.answers()
    assert engine.site_remains() == []
    api["/containers/json"] = [{"Names": ["/tripod-webui"]}]
    api["/volumes"] = {"Volumes": [{"Name": "tripod-postgres-data"}]}
    assert engine.site_remains() == ["tripod-webui", "tripod-postgres-data"]


def test_the_secrets_that_a_teardown_left_are_a_sites(place, api):
    (place / "etc" / "secrets" / "postgres").mkdir(parents=True)
    (place / "etc" / "secrets" / "postgres" / "password").touch()
    assert engine.site_remains() == [f"{place}/etc/secrets"]


def test_directories_that_hold_nothing_are_no_site(place, api):
    (place / "etc" / "host.d").mkdir(parents=True)
    assert engine.site_remains() == []
    (place / "etc" / "host.d" / "nic.json").touch()
    assert engine.site_remains() == [f"{place}/etc/host.d"]


@pytest.mark.parametrize("path", ["/containers/json", "/volumes"])
def test_an_engine_that_gives_no_answer_is_not_one_without_a_site(api, path):
    del api[path]
    with pytest.raises(Failure, match=r"cannot be asked \(status 500: .*broken"):
        engine.site_remains()


def test_a_socket_whose_engine_died_is_no_engine(place):
    Api(str(place / "s"), Answer).server_close()
    assert (place / "s").exists()
    assert not engine.answers()


@pytest.mark.parametrize("configured", [False, True], ids=["default", "daemon.json"])
def test_what_a_stopped_engine_holds_may_be_a_sites(place, configured):
    data = place / ("elsewhere" if configured else "data")
    if configured:
        (place / "daemon.json").write_text(json.dumps({"data-root": str(data)}))
    (data / "volumes").mkdir(parents=True)
    for own in ("backingFsBlockDev", "metadata.db"):
        (data / "volumes" / own).touch()
    assert not engine.sleeps()
    assert engine.site_remains() == []
    (data / "volumes" / "tripod-postgres-data").mkdir()
    assert engine.sleeps()
    with pytest.raises(Failure, match=rf"no Docker Engine runs, and {data} holds 1 volumes: .* Start the engine"):
        engine.site_remains()


def test_a_configuration_that_cannot_be_read_hides_no_data(place):
    (place / "daemon.json").write_text("{")
    with pytest.raises(Failure, match="does not tell where the engine's data is"):
        engine.site_remains()


def test_the_engine_is_ended_by_its_number(place):
    program = place / "dockerd"
    shutil.copy(shutil.which("sleep", path=os.defpath), program)
    with subprocess.Popen([program, "60"]) as process:
        (place / "pid").write_text(str(process.pid))
        threading.Thread(target=process.wait).start()  # as process 1 does
        engine.stop()
        assert process.wait(10) == -signal.SIGTERM


def test_a_pid_file_of_another_program_ends_nothing(place):
    (place / "pid").write_text(str(os.getpid()))
    engine.stop()
