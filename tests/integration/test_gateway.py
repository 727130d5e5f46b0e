"""``playbooks/gateway.yml`` as an operator runs it, against both kinds of server, over the loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.marchproxy.documented import DocumentedServer
from tests.support.marchproxy.real import RealServer
from tests.support.marchproxy.serving import served

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("edge1", "edge2", "edge3")
PASSWORD = "a password of the operator's"
SERVICES = ("tripod-flask-api", "tripod-go-backend", "tripod-webui")


@dataclass(frozen=True)
class Run:
    """One run of a playbook.

    Attributes:
        said: All that was printed, white space made one.
        changed: Tasks that changed something, of all hosts together.
        status: How ansible-playbook ended.
    """

    said: str
    changed: int
    status: int


class Desk:
    """An operator's folder with an inventory of hosts that are all this machine."""

    def __init__(self, folder: Path, variables: Mapping[str, Any]) -> None:
        self.folder = folder
        self.files = folder / "config" / "marchproxy"
        self.variables = dict(variables)
        (folder / "password").write_text(f"{PASSWORD}\n")

    def inventory(self, *hosts: str) -> None:
        """Write an inventory in which each host has an address of its own on the loopback."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        own = {host: {**local, "marchproxy_address": address(host)} for host in hosts}
        content = {"tripod": {"hosts": own, "vars": self.variables}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(content))

    def play(self, *words: str, playbook: str = "playbooks/gateway.yml", **environment: str) -> Run:
        """Run a playbook in the folder; what it prints never holds the password."""
        child = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MARCHPROXY_"))}
        child |= {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
            "PWD": str(self.folder),
            **environment,
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", str(ROOT / playbook)]
        done = subprocess.run(
            [*command, *words], cwd=self.folder, env=child, capture_output=True, text=True, timeout=900, check=False
        )
        printed = done.stdout + done.stderr
        assert PASSWORD not in printed
        changed = sum(int(number) for number in re.findall(r" changed=(\d+) ", printed))
        return Run(" ".join(printed.split()), changed, done.returncode)


def address(host: str) -> str:
    return f"127.0.0.1{host[-1]}"


class Application:
    """The services of all hosts: one listener, which knows the hosts apart by their addresses.

    Attributes:
        sick: Hosts whose services answer 503; a number of answers after which a host is well, or None for never.
        asked: Paths and hosts, in order.
    """

    def __init__(self, gateway: RealServer) -> None:
        self.gateway = gateway
        self.sick: dict[str, int | None] = {}
        self.asked: list[tuple[str, str]] = []
        self.active: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("0.0.0.0", 0), self._handler())
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, host: str, path: str) -> int:
        """Return the status of an answer; of a change, note which services were active meanwhile."""
        with self._lock:
            self.asked.append((path, host))
            if path.startswith("/change/"):
                rows = self.gateway.services.values()
                self.active[path.rpartition("/")[2]] = {row.name for row in rows if row.is_active}
            if host not in self.sick:
                return 200
            left = self.sick[host]
            if left is None:
                return 503
            self.sick[host] = left - 1
            if left <= 1:
                del self.sick[host]
            return 503

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = f"edge{self.connection.getsockname()[0][-1]}"
                self.send_response(application.answer(host, self.path))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def real() -> Iterator[RealServer]:
    server = RealServer()
    with served(server):
        server.add_cluster("production")
        server.tokens.add("admin", PASSWORD)
        yield server


@pytest.fixture
def application(real: RealServer) -> Iterator[Application]:
    services = Application(real)
    yield services
    services.server.shutdown()
    services.server.server_close()


@pytest.fixture
def desk(real: RealServer, application: Application, tmp_path: Path) -> Desk:
    """Three hosts whose services are published on all of their addresses; the gateway is on this machine too."""
    everywhere = ("tripod_flask_publish_address", "tripod_webui_publish_address", "go_backend_grpc_address")
    ports = ("tripod_flask_http_port", "tripod_webui_http_port", "tripod_go_grpc_port")
    desk = Desk(
        tmp_path,
        {
            **dict.fromkeys(everywhere, "0.0.0.0"),
            "tripod_publish_plain": True,
            **dict.fromkeys(ports, application.port),
            "marchproxy_api": real.url,
            "marchproxy_username": "admin",
            "marchproxy_password_file": str(tmp_path / "password"),
            "marchproxy_local_names": True,
            "marchproxy_drain_timeout": 0,
            "marchproxy_healthy_timeout": 6,
        },
    )
    desk.inventory(*HOSTS)
    return desk


def names(*hosts: str) -> list[str]:
    return sorted(f"{service}-{host}" for service in SERVICES for host in hosts)


def active(server: RealServer) -> list[str]:
    return sorted(row.name for row in server.services.values() if row.is_active)


def imported(desk: Desk) -> dict[str, Any]:
    return json.loads((desk.files / "import-config.json").read_text())


def test_three_hosts_from_the_first_look_to_the_way_back(desk: Desk, real: RealServer) -> None:
    seen = desk.play("--check", "--diff")
    assert seen.status == 0, seen.said
    assert real.writes == []
    assert not desk.files.exists(), "a look leaves nothing"
    for name in names(*HOSTS):
        assert re.search(rf"create {name} ", seen.said), seen.said
    assert f"tripod-webui-edge2 http 127.0.0.12:{desk.variables['tripod_webui_http_port']}" in seen.said

    first = desk.play()
    assert first.status == 0, first.said
    assert active(real) == names(*HOSTS)
    assert {row.ip_fqdn for row in real.services.values()} == {address(host) for host in HOSTS}
    document = imported(desk)
    assert sorted(service["name"] for service in document["services"]) == names(*HOSTS)
    [api, _webui] = document["mappings"]
    assert api["dest_services"] == names(*HOSTS)[:3], "a mapping leads to the service of every host"
    assert document["metadata"]["version"] == yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert json.loads((desk.files / "rollback.json").read_text())["services"] == []

    real.forget()
    again = desk.play()
    assert (again.status, again.changed, real.writes) == (0, 0, []), again.said

    real.named("tripod-webui-edge1").ip_fqdn = "192.0.2.99"
    real.named("tripod-flask-api-edge3").is_active = False
    real.add(name="other", ip_fqdn="192.0.2.1", port=1, collection="others", cluster_id=1)
    real.forget()
    seen = desk.play("--check")
    assert (seen.status, real.writes) == (0, []), seen.said
    assert re.search(r"update tripod-webui-edge1 .*192\.0\.2\.99.*127\.0\.0\.11", seen.said), seen.said
    assert desk.play().status == 0
    assert sorted(str(request.body) for request in real.writes) == ["{'ip_fqdn': '127.0.0.11'}", "{'is_active': True}"]

    real.forget()
    limited = desk.play("--limit", "edge1")
    assert (limited.status, limited.changed, real.log) == (0, 0, []), limited.said
    assert "edge2, edge3 failed or are left out by --limit: both stay as they are" in limited.said
    assert imported(desk) == document

    desk.inventory("edge1", "edge2")
    assert desk.play().status == 0
    assert active(real) == sorted(["other", *names(*HOSTS)]), "what is not described any more stays until it is pruned"
    pruned = desk.play("-e", "marchproxy_prune=true")
    assert pruned.status == 0, pruned.said
    assert active(real) == sorted(["other", *names("edge1", "edge2")])

    rollback = str(desk.files / "rollback.json")
    seen = desk.play("--check", "-e", f"marchproxy_restore={rollback}")
    assert re.search(r"revive tripod-webui-edge3 ", seen.said), seen.said
    assert active(real) == sorted(["other", *names("edge1", "edge2")])
    back = desk.play("-e", f"marchproxy_restore={rollback}")
    assert back.status == 0, back.said
    assert active(real) == sorted(["other", *names(*HOSTS)])
    real.forget()
    assert desk.play("-e", f"marchproxy_restore={rollback}").changed == 0
    assert real.writes == []

    desk.inventory(*HOSTS)
    assert desk.play("-e", "marchproxy_state=absent", "-e", "marchproxy_prune=true").status == 0
    assert active(real) == ["other"]


def test_a_rolling_change_takes_each_host_out_of_traffic_and_back_once_it_is_healthy(
    desk: Desk, real: RealServer, application: Application
) -> None:
    change = f"rolling_change=http://127.0.0.1:{application.port}/change"
    rolling = {"playbook": "tests/playbooks/rolling.yml"}
    assert desk.play().status == 0
    seen = desk.play("--check", "-e", change, **rolling)
    assert seen.status == 0, seen.said
    assert active(real) == names(*HOSTS)

    application.sick = {"edge2": 2}
    real.forget()
    done = desk.play("-e", change, **rolling)
    assert done.status == 0, done.said
    for host in HOSTS:
        assert sorted(application.active[host]) == names(*(one for one in HOSTS if one != host))
    assert active(real) == names(*HOSTS)
    assert [request.body for request in real.writes] == [
        {"is_active": state} for _host in HOSTS for state in (False, True) for _service in SERVICES
    ]

    application.sick = {"edge2": None}
    failed = desk.play("-e", change, **rolling)
    assert failed.status != 0
    assert active(real) == names("edge1", "edge3"), "a host that is not healthy stays out, and the next is not begun"
    assert [path for path, _host in application.asked if path.startswith("/change/")][-1] == "/change/edge2"


@pytest.mark.full
def test_one_host_and_the_documented_server(desk: Desk) -> None:
    key = "the-cluster-key"
    desk.variables = {**desk.variables, "marchproxy_script": str(desk.folder / "scripts" / "marchproxy-import.sh")}
    (desk.folder / "scripts").mkdir()
    server = DocumentedServer(key)
    with served(server):
        for name in ("username", "password_file"):
            del desk.variables[f"marchproxy_{name}"]
        desk.variables["marchproxy_api"] = server.url
        desk.inventory("edge1")
        wrong = desk.play(CLUSTER_API_KEY="wrong-key")
        assert wrong.status != 0
        assert server.services == {}
        assert {request.line for request in server.writes} <= {"POST /services/import"}, "it tries no other way"
        assert "wrong-key" not in wrong.said

        done = desk.play(CLUSTER_API_KEY=key, APP_VERSION="7.8.9")
        assert done.status == 0, done.said
        assert sorted(row["name"] for row in server.services.values()) == list(SERVICES)
        assert sorted(server.mappings) == ["tripod-external-api", "tripod-webui-access"]
        assert server.metadata["version"] == "7.8.9"
        assert {row["protocol"] for row in server.services.values()} == {"http", "grpc"}
        server.forget()
        again = desk.play(CLUSTER_API_KEY=key, APP_VERSION="7.8.9")
        assert (again.status, again.changed, server.writes) == (0, 0, []), again.said

        drained = desk.play(
            "-e", "rolling_change=http://192.0.2.1", playbook="tests/playbooks/rolling.yml", CLUSTER_API_KEY=key
        )
        assert drained.status != 0
        assert "no way to take a service out of traffic" in drained.said
        assert "Change the host" not in drained.said, "a host that is not drained is not changed"

        # The same file, by hand.
        server.services.clear()
        child = {"PATH": os.environ["PATH"], "MARCHPROXY_API": server.url, "CLUSTER_API_KEY": key}
        script = subprocess.run(["scripts/marchproxy-import.sh"], cwd=desk.folder, env=child, check=False)
        assert script.returncode == 0
        assert sorted(row["name"] for row in server.services.values()) == list(SERVICES)
        for said in (wrong.said, done.said, again.said):
            assert key not in said


def test_what_the_gateway_cannot_reach_or_ask_is_refused_all_at_once(desk: Desk, real: RealServer) -> None:
    """Of the site's default, as it is, an API server is the one thing that is configured."""
    desk.variables = {
        "marchproxy_api": real.url,
        "marchproxy_cluster_id": "production",
        "marchproxy_token_file": "/nowhere/token",
        "marchproxy_extra_services": [{"name": "tripod-extra", "ip_fqdn": "extra.example.com", "port": 70000}],
    }
    desk.inventory("edge1")
    refused = desk.play()
    assert refused.status != 0
    for words in (
        "nothing was changed, on no host",
        "/nowhere/token cannot be read on the control node",
        "cluster_id 'production' is no number",
        "tripod-flask-api).ip_fqdn: '127.0.0.1' is an address that every host has",
        "tripod-go-backend).ip_fqdn: 'go-backend' is a name that only its own host or Docker network resolves",
        "tripod-extra).port: 70000",
    ):
        assert words in refused.said, words
    assert real.log == []
    assert not desk.files.exists()


def test_without_an_api_the_files_say_what_only_the_host_reaches(desk: Desk, real: RealServer) -> None:
    desk.variables = {}
    desk.inventory("edge1")
    done = desk.play()
    assert done.status == 0, done.said
    assert real.log == []
    assert "not reachable from elsewhere: tripod-flask-api: " in done.said
    assert sorted(service["name"] for service in imported(desk)["services"]) == list(SERVICES)
    assert desk.play().changed == 0
