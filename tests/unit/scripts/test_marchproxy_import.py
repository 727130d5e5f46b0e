"""``scripts/marchproxy-import.sh``: what it sends, what it says, and the status with which it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.marchproxy.documented import DocumentedServer
from tests.support.marchproxy.real import RealServer
from tests.support.marchproxy.serving import AFTER, BEFORE, FAIL, FAIL_AFTER, Answer, MockServer, Request, served

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "marchproxy-import.sh"
KEY = "0123456789abcdef"
SERVICE = {"name": "myapp-flask-api", "ip_fqdn": "192.0.2.10", "port": 8080, "collection": "myapp"}
IMPORT = {"services": [SERVICE], "mappings": [], "metadata": {"app_name": "myapp", "version": "1.0.0"}}
SETTING, USAGE, FILE, UNREACHED, REFUSED_KEY, NO_BULK, REFUSED, UNCERTAIN = range(1, 9)


class Fixed(MockServer):
    """A server that gives every request the same answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.fixed = answer

    def handle(self, request: Request) -> Answer:
        return self.fixed


pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed, and the script needs it")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """Make a folder as the role leaves it."""
    place = tmp_path / "config" / "marchproxy"
    place.mkdir(parents=True)
    (place / "import-config.json").write_text(json.dumps(IMPORT, indent=2) + "\n")
    return tmp_path


@pytest.fixture
def documented() -> Iterator[DocumentedServer]:
    server = DocumentedServer(KEY)
    with served(server):
        yield server


def imported(folder: Path, *words: str, url: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script in that folder, with nothing of this environment but where commands are."""
    child = {"PATH": os.environ["PATH"], "CLUSTER_API_KEY": KEY, "HOME": str(folder), **more}
    child |= {"MARCHPROXY_API": url} if url else {}
    command = ["bash", str(SCRIPT), *words]
    return subprocess.run(command, cwd=folder, env=child, capture_output=True, text=True, timeout=60, check=False)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


def test_the_documented_server_gets_the_file_and_the_key(folder: Path, documented: DocumentedServer) -> None:
    done = imported(folder, url=f"{documented.url}/")
    assert done.returncode == 0, said(done)
    assert done.stdout.startswith("MarchProxy configuration imported\n")
    assert "not read back" in done.stdout
    [request] = documented.log
    assert (request.line, request.body) == ("POST /services/import", IMPORT)
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert [row["name"] for row in documented.services.values()] == ["myapp-flask-api"]
    assert "a secret of the server's" not in said(done)


def test_another_file_and_a_key_of_a_file_will_do(folder: Path, documented: DocumentedServer) -> None:
    (folder / "other.json").write_text(json.dumps({**IMPORT, "services": []}))
    (folder / "key").write_text(f"{KEY}\n")
    done = imported(folder, "other.json", url=documented.url, CLUSTER_API_KEY="", CLUSTER_API_KEY_FILE="key")
    assert done.returncode == 0, said(done)
    assert documented.log[0].body["services"] == []


def test_a_server_without_a_bulk_endpoint_is_left_alone_and_the_way_out_is_named(folder: Path) -> None:
    server = RealServer()
    with served(server):
        cluster = server.add_cluster()
        done = imported(folder, url=server.url, CLUSTER_API_KEY=cluster.key)
        assert done.returncode == NO_BULK
        assert server.lines == ["POST /services/import"]
        assert server.services == {}
    for words in ("no bulk endpoint (HTTP 405", "tripod.baremetal.marchproxy_import", "nothing was imported"):
        assert words in said(done)


def test_a_key_that_the_server_does_not_take_is_no_reason_to_try_otherwise(
    folder: Path, documented: DocumentedServer
) -> None:
    done = imported(folder, url=documented.url, CLUSTER_API_KEY="wrong-key")
    assert done.returncode == REFUSED_KEY
    assert documented.lines == ["POST /services/import"]
    assert "HTTP 401" in said(done)
    assert "wrong-key" not in said(done)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (201, 0), (202, 0), (204, 0), (207, UNCERTAIN), (301, REFUSED), (308, REFUSED), (400, REFUSED),
        (403, REFUSED_KEY), (404, NO_BULK), (405, NO_BULK), (409, REFUSED), (413, REFUSED), (422, REFUSED),
        (429, REFUSED), (500, UNCERTAIN), (501, NO_BULK), (503, UNCERTAIN),
    ],
)  # fmt: skip
def test_what_the_server_answers_becomes_the_exit_status(status: int, expected: int, folder: Path) -> None:
    """Its words are not shown: an answer echoes what it refuses, and tells the services' secrets."""
    server = Fixed(Answer(status, {"detail": "a secret of the server's"}))
    with served(server):
        done = imported(folder, url=server.url)
    assert done.returncode == expected, said(done)
    assert "secret of the server" not in said(done)
    assert bool(done.stderr) == bool(expected)
    assert bool(done.stdout) != bool(expected), "it is said to be imported only where it is"


@pytest.mark.parametrize("fault", [BEFORE, AFTER, FAIL, FAIL_AFTER])
def test_an_answer_that_is_lost_is_not_certain(fault: str, folder: Path, documented: DocumentedServer) -> None:
    documented.fault = lambda number, request: fault
    done = imported(folder, url=documented.url)
    assert done.returncode == UNCERTAIN, said(done)
    assert "run this again" in said(done)
    documented.fault = lambda number, request: None
    assert imported(folder, url=documented.url).returncode == 0
    assert len(documented.services) == 1


def test_a_redirection_is_not_followed_with_the_key(folder: Path, documented: DocumentedServer) -> None:
    (folder / ".curlrc").write_text("location\nlocation-trusted\n")
    elsewhere = Answer(307, "", {"Location": f"{documented.url}/api/v1/services/import"})
    server = Fixed(elsewhere)
    with served(server):
        done = imported(folder, url=server.url)
    assert (done.returncode, documented.log) == (REFUSED, [])
    assert "sends elsewhere" in said(done)


def test_who_cannot_be_reached_is_sent_nothing(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = imported(folder, url=f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == UNREACHED
    assert "nothing was sent" in said(done)
    assert "Failed to connect" in said(done)


def test_a_server_that_does_not_speak_tls_is_sent_nothing(folder: Path, documented: DocumentedServer) -> None:
    done = imported(folder, url=documented.url.replace("http:", "https:"))
    assert done.returncode == UNREACHED, said(done)
    assert all(KEY not in str(request.headers) for request in documented.log)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CLUSTER_API_KEY": ""}, "CLUSTER_API_KEY environment variable required"),
        ({"CLUSTER_API_KEY_FILE": "key"}, "both set"),
        ({"CLUSTER_API_KEY": "", "CLUSTER_API_KEY_FILE": "nowhere"}, "nowhere cannot be read"),
        ({"CLUSTER_API_KEY": "", "CLUSTER_API_KEY_FILE": "."}, ". cannot be read"),
        ({"CLUSTER_API_KEY": "", "CLUSTER_API_KEY_FILE": "/dev/null"}, "/dev/null is empty"),
        ({"CLUSTER_API_KEY": f"{KEY}\nX-Other: 1"}, "a line break"),
        ({"CLUSTER_API_KEY": f"{KEY} "}, "holds a blank"),
        ({"MARCHPROXY_API": "marchproxy:8000"}, "'marchproxy:8000' is no address of a server"),
        ({"MARCHPROXY_API": "ftp://marchproxy"}, "is no address of a server"),
        ({"MARCHPROXY_API": "http://marchproxy/api/v1/"}, "is no address of a server (without /api/v1)"),
        ({"MARCHPROXY_API": "http://"}, "is no address of a server"),
        ({"MARCHPROXY_API": 'http://a"\nurl = "http://b'}, "is no address of a server"),
        ({"MARCHPROXY_API": "http://user:hidden@marchproxy"}, "holds an @"),
    ],
)
def test_what_is_wrong_with_the_environment_is_said_before_anything_is_sent(
    variables: dict[str, str], words: str, folder: Path, documented: DocumentedServer
) -> None:
    (folder / "key").write_text(f"{KEY}\n")
    done = imported(folder, **{"MARCHPROXY_API": documented.url, **variables})
    assert done.returncode == SETTING, said(done)
    assert words in said(done)
    assert KEY not in said(done)
    assert "hidden" not in said(done)
    assert documented.log == []


@pytest.mark.parametrize("content", [None, "", "[]", '{"mappings": []}', json.dumps(IMPORT)[:-2], "services"])
def test_what_is_no_import_file_is_not_sent(content: str | None, folder: Path, documented: DocumentedServer) -> None:
    path = folder / "config" / "marchproxy" / "import-config.json"
    path.unlink() if content is None else path.write_text(content)
    done = imported(folder, url=documented.url)
    assert done.returncode == FILE, said(done)
    assert "config/marchproxy/import-config.json" in said(done)
    assert documented.log == []


def test_wrong_arguments_are_shown_how_it_is_called(folder: Path) -> None:
    for words in (("one", "two"), ("--restore",)):
        done = imported(folder, *words)
        assert done.returncode == USAGE
        assert "Usage: marchproxy-import.sh [FILE]" in done.stderr


def test_the_help_names_every_exit_status_and_the_one_endpoint(folder: Path) -> None:
    done = imported(folder, "--help", CLUSTER_API_KEY="")
    assert done.returncode == 0
    assert re.findall(r"^  (\d)  ", done.stdout, re.MULTILINE) == [str(number) for number in range(9)]
    assert "POST /api/v1/services/import, and nothing\nelse" in done.stdout


def test_the_key_is_in_no_argument_no_environment_and_no_trace(folder: Path, documented: DocumentedServer) -> None:
    """Everybody on the machine sees the arguments of curl, and whoever traces a pipeline has its log."""
    real = shutil.which("curl")
    spy = folder / "bin" / "curl"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/bash\n{{ printf "%s\\n" "$@"; env; }} >{folder}/seen\nexec {real} "$@"\n')
    spy.chmod(0o755)
    child = {"PATH": f"{spy.parent}:{os.environ['PATH']}", "CLUSTER_API_KEY": KEY, "MARCHPROXY_API": documented.url}
    traced = subprocess.run(
        ["bash", "-x", str(SCRIPT)], cwd=folder, env=child, capture_output=True, text=True, timeout=60, check=False
    )
    assert traced.returncode == 0, said(traced)
    seen = (folder / "seen").read_text()
    assert "--config" in seen
    assert KEY not in seen
    assert KEY not in said(traced)


def test_a_key_with_quotes_arrives_as_it_is(folder: Path) -> None:
    key = r'a"b\c\\"d$e`f'
    server = DocumentedServer(key)
    with served(server):
        done = imported(folder, url=server.url, CLUSTER_API_KEY=key)
        assert done.returncode == 0, said(done)


def test_a_machine_without_curl_is_told_so(folder: Path) -> None:
    commands = folder / "bin"
    commands.mkdir()
    for name in ("bash", "cat"):
        (commands / name).symlink_to(str(shutil.which(name)))
    done = imported(folder, PATH=str(commands))
    assert (done.returncode, "curl is not installed" in said(done)) == (UNREACHED, True)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://192.0.2.1:1", True), ("http://127.0.0.1.example.com:1", True), ("http://127.0.0.1:1", False),
        ("http://localhost:1/below", False), ("http://[::1]:1", False), ("https://192.0.2.1:1", False),
    ],
)  # fmt: skip
def test_a_key_that_would_be_readable_on_the_way_is_warned_of(url: str, warned: bool, folder: Path) -> None:
    commands = folder / "bin"
    commands.mkdir()
    (commands / "curl").write_text("#!/bin/sh\nexit 7\n")
    (commands / "curl").chmod(0o755)
    done = imported(folder, url=url, PATH=f"{commands}:{os.environ['PATH']}")
    assert done.returncode == UNREACHED
    assert (f"goes to {url} unencrypted" in said(done)) is warned


def test_it_is_shipped_as_a_program() -> None:
    assert os.access(SCRIPT, os.X_OK)
    assert SCRIPT.read_text().startswith("#!/usr/bin/env bash\n")


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck")
    if not shellcheck:
        pytest.skip("shellcheck is not installed; make test-gates installs and runs it")
    found = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
