"""The role ``nginx`` with the distribution's nginx: what clients get, what services hear, and what a change costs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.nginx_front import serving

from tests.support import packaged_nginx
from tests.support.fresh import ROOT, ansible_playbook
from tests.support.machine import Machine, eventually

ROTATION = str(ROOT / "playbooks" / "rotate_ca.yml")
PLAY = """\
- hosts: tripod
  gather_facts: false
  roles:
    - role: tripod.baremetal.nginx
"""
INVENTORY = """\
tripod:
  hosts:
    front.example:
  vars:
    ansible_connection: local
    ansible_python_interpreter: /usr/bin/python3
    docker_engine_running: false
    pki_packages: []
    nginx_packages: []
    # That no site on this machine makes beside it.
    tripod_config_dir: /etc/front-site
    tripod_https_addresses: [127.0.0.1, 192.0.2.10]
    nginx_connection_seconds: 2
    nginx_redirect_port: 80
    nginx_client_limit: 8
"""
TEARDOWN = """\
- hosts: tripod
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: tripod.baremetal.nginx}
      vars: {tripod_https: false}
"""
SHOWN = "import ssl; print(ssl.get_server_certificate(('127.0.0.1', 443)))"
HSTS = "max-age=31536000"
WEB, API = "https://front.example", "https://front.example:8443"


class Site:
    """A machine with the front, and something behind it."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        for name, text in (("site.yml", PLAY), ("hosts.yml", INVENTORY), ("teardown.yml", TEARDOWN)):
            (folder / name).write_text(text)

    def play(self, *words: str, playbook: str = "site.yml") -> str:
        done = self._run(playbook, words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refusal(self, *words: str) -> str:
        done = self._run("site.yml", words)
        assert done.returncode, done.stdout
        return " ".join(done.stdout.split())

    def _run(self, playbook: str, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return ansible_playbook(self.machine, ["-i", "hosts.yml", playbook, *words], self.folder)

    def place(self, path: str) -> Path:
        return Path(f"/proc/{self.machine.holder.pid}", "root", path.lstrip("/"))

    def end(self) -> None:
        """End what runs within."""
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int(self.pid()), signal.SIGTERM)
            eventually(lambda: not self.place("/run/tripod-nginx/nginx.pid").exists(), 20)

    def curl(self, *words: str) -> Answer:
        return Answer(self.said(*words))

    def said(self, *words: str) -> str:
        names = [word for port in (80, 443, 8443) for word in ("--resolve", f"front.example:{port}:192.0.2.10")]
        trusted = ["--cacert", "/etc/front-site/secrets/nginx/ca.crt"]
        command = ["curl", "--silent", "--show-error", "--include", "--max-time", "20", *names, *trusted, *words]
        return self.machine.run(*command)

    def pid(self) -> str:
        return self.place("/run/tripod-nginx/nginx.pid").read_text().strip()


class Answer:
    """What curl printed."""

    def __init__(self, text: str) -> None:
        head, _blank, self.body = text.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.splitlines()
        self.protocol, self.status = first.split()[0], int(first.split()[1])
        pairs = [line.partition(": ")[::2] for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}
        # Of those that a service sends as well, a second one would be another word on the same matter.
        assert len(self.headers) == len(pairs), lines

    @property
    def json(self) -> dict:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    machine = Machine()
    upstream = None
    site = Site(machine, folder)
    try:
        packaged_nginx.put_in_place(packaged_nginx.unpack(folder), machine, folder)
        machine.run("ip", "address", "add", "192.0.2.10/32", "dev", "lo")
        assert "would serve https://front.example:443/" in site.play("--check")
        assert not site.place("/etc/front-site").exists()
        site.play()
        program = ROOT / "tests" / "support" / "upstream.py"
        command = [sys.executable, str(program), "3000", "5000", "/etc/front-site/secrets/flask-backend"]
        upstream = subprocess.Popen([*machine.within, *command])
        eventually(lambda: "127.0.0.1:3000" in machine.run("ss", "-Hlnt"), 20)
        yield site
    finally:
        if upstream:
            upstream.kill()
            upstream.wait()
        site.end()
        machine.close()


@pytest.mark.full
def test_a_second_run_changes_nothing(site):
    before = site.pid()
    assert "changed=0" in (said := site.play()), said
    assert site.pid() == before


def test_http2_leads_to_the_web_interface_which_is_told_who_asks(site):
    answer = site.curl("--http2", "-H", "X-Forwarded-For: 1.1.1.1", "-H", "X-Request-ID: mine-1", f"{WEB}/policy?y=1")
    assert (answer.protocol, answer.status) == ("HTTP/2", 200)
    assert answer.headers["strict-transport-security"] == HSTS
    assert answer.headers["server"] == "nginx"
    told = answer.json
    assert (told["path"], told["port"]) == ("/policy?y=1", 3000)
    heard = told["headers"]
    assert heard["x-forwarded-for"] == "192.0.2.10"
    assert (heard["x-forwarded-proto"], heard["x-forwarded-host"]) == ("https", "front.example")
    assert heard["x-request-id"] == "mine-1"
    assert float(heard["x-connection-age"]) < 10
    assert heard["x-front-secret"] == site.place("/etc/front-site/secrets/webui/front_secret").read_text()
    for bad in ("x" * 65, "a b", 'a"b'):
        found = site.curl("-H", f"X-Request-ID: {bad}", f"{WEB}/").json["headers"]["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", found)


def test_a_page_asks_the_api_with_nothing_between_but_for_its_events(site):
    for path in ("/api/v1/status?x=1", "/api/v1/events-of-another", "/api/v1/events/", "/api", "/%61pi/v1/status"):
        claims = [word for name in ("Proto", "Host", "For") for word in ("-H", f"X-Forwarded-{name}: mine")]
        told = site.curl(*claims, f"{WEB}{path}").json
        assert (told["path"], told["port"]) == (path, 5000)
        assert told["headers"]["x-front-secret"]
        assert {name for name in told["headers"] if "forwarded" in name} == {"x-forwarded-for"}
        assert (told["headers"]["host"], told["headers"]["x-forwarded-for"]) == ("front.example", "192.0.2.10")
    # However it is spelled: the API has few of these.
    for path in ("/api/v1/events", "/api/v1/events?last=1", "/api//v1/events", "/api/v1/x/../%65vents", "/apis"):
        told = site.curl("--path-as-is", "-H", "Accept: text/event-stream", f"{WEB}{path}").json
        assert (told["path"], told["port"]) == (path, 3000)


def test_a_connection_that_ended_while_it_waited_costs_nobody_an_answer(site):
    # Over each of them one is answered. By one connection of the client's all come to one process of nginx.
    said = site.said("--output", "/dev/null", "--write-out", "%{http_code} ", f"{WEB}/api/v[1-6]/second")
    assert said.split() == ["200"] * 6
    # What changes something may have been carried out, so it is not sent again.
    assert site.curl("--data", "{}", f"{WEB}/api/v1/breaks").status == 502
    broken = site.curl(f"{WEB}/api/v1/x").json["broken"]
    assert broken["/api/v1/breaks"] == 1
    assert sum(count for path, count in broken.items() if path.endswith("/second")) >= 1


def test_the_api_is_asked_by_tls_and_nothing_of_it_but_its_api_is_served(site):
    answer = site.curl(f"{API}/api/v1/status")
    assert (answer.status, answer.json["port"]) == (200, 5000)
    assert answer.json["headers"]["x-front-secret"]
    for path in ("/metrics", "/healthz", "/", "/apis"):
        answer = site.curl(f"{API}{path}")
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    # With a certificate for another name it is another service.
    own, other = (site.place(f"/etc/front-site/secrets/{name}") for name in ("flask-backend", "webui"))
    kept = {name: (own / name).read_bytes() for name in ("tls.crt", "tls.key")}
    try:
        for name in kept:
            (own / name).write_bytes((other / name).read_bytes())
        # By a connection of its own; one that was made before is still to whom it was.
        answer = site.curl("--data", "{}", f"{API}/api/v1/status")
        assert answer.status == 502, (answer.headers, answer.body)
        assert (answer.status, answer.json["code"]) == (502, "service_unreachable")
    finally:
        for name, content in kept.items():
            (own / name).write_bytes(content)


def test_plain_http_is_led_to_https_and_refused_on_its_ports(site):
    answer = site.curl("http://front.example/login?next=/policy")
    assert (answer.status, answer.headers["location"]) == (308, f"{WEB}/login?next=/policy")
    answer = site.curl("http://front.example:443/")
    assert (answer.status, answer.json["code"]) == (400, "plain_http")


def test_the_certificate_is_one_that_browsers_take_and_old_tls_is_refused(site):
    for name in ("front.example", "192.0.2.10", "localhost"):
        script = "import socket, ssl, sys; c = ssl.create_default_context(cafile=sys.argv[1]);"
        script += "c.verify_flags |= ssl.VERIFY_X509_STRICT;"
        script += (
            "print(c.wrap_socket(socket.create_connection(('127.0.0.1', 443)), server_hostname=sys.argv[2]).version())"
        )
        said = site.machine.run(sys.executable, "-c", script, "/etc/front-site/secrets/nginx/ca.crt", name)
        assert said == "TLSv1.3\n"
    with pytest.raises(subprocess.CalledProcessError):
        site.curl("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", f"{WEB}/")
    assert site.curl("--tlsv1.2", "--tls-max", "1.2", f"{WEB}/").status == 200


def test_errors_of_its_own_are_of_the_one_form(site):
    large = site.folder / "large"
    large.write_bytes(b"x" * 300_000)
    answer = site.curl("-H", "Expect:", "-H", "X-Request-ID: mine-2", "--data-binary", f"@{large}", f"{WEB}/api/v1/x")
    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["strict-transport-security"] == HSTS
    assert answer.headers["x-request-id"] == answer.json["request_id"] == "mine-2"
    assert answer.json.keys() == {"type", "title", "status", "detail", "code", "request_id", "error"}
    assert site.curl("--http1.1", "-H", f"X-Long: {'x' * 20_000}", f"{WEB}/").json["code"] == "bad_request"
    # localhost is not this site's alone.
    assert "strict-transport-security" not in site.curl("https://localhost/").headers


@pytest.mark.parametrize("url", [f"{WEB}/api/v1/stream", f"{API}/api/v1/stream"])
def test_a_stream_goes_on_word_by_word(site, url):
    command = ["curl", "-sN", "--http2", "--resolve", "front.example:443:192.0.2.10"]
    command += ["--resolve", "front.example:8443:192.0.2.10", "--cacert", "/etc/front-site/secrets/nginx/ca.crt"]
    command += ["-H", "Accept: text/event-stream", url]
    began = time.monotonic()
    with subprocess.Popen([*site.machine.within, *command], stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout
        words = [listener.stdout.readline().strip() for _line in range(5)]
        assert time.monotonic() - began < 20
        listener.kill()
    assert [word for word in words if word] == ["data: 0", "data: 1", "data: 2"]


def test_an_old_connection_takes_no_new_request_so_a_second_try_comes_by_another(site):
    script = """
import http.client, json, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
def ages(pauses):
    line = http.client.HTTPSConnection("127.0.0.1", 443, context=context)
    for pause in pauses:
        time.sleep(pause)
        line.request("POST", "/api/v1/old", "{}", {"Host": "front.example"})
        answer = line.getresponse()
        told = json.loads(answer.read())
        yield answer.status, float(told["headers"]["x-connection-age"]), answer.headers.get("Connection")
print(json.dumps(list(ages([0, 2.5, 0]))))
"""
    trusted = "/etc/front-site/secrets/nginx/ca.crt"
    first, second, third = json.loads(site.machine.run(sys.executable, "-c", script, trusted))
    assert [one[0] for one in (first, second, third)] == [421] * 3
    assert first[1] < 2
    assert (second[1] >= 2.5, second[2]) == (True, "close")
    assert third[1] < 2


def test_who_is_slow_or_many_holds_nobody_else(site):
    script = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
held = []
for number in range(9):
    line = context.wrap_socket(socket.create_connection(("127.0.0.1", 443)), server_hostname="front.example")
    line.sendall(b"POST /x HTTP/1.1\\r\\nHost: front.example\\r\\nContent-Length: 10\\r\\n\\r\\n1")
    held.append(line)
held[-1].settimeout(15)
print(held[-1].recv(4096).decode())
# Whoever stops within a body is let go.
held[0].settimeout(20)
print(held[0].recv(4096).decode() or "closed")
"""
    said = site.machine.run(sys.executable, "-c", script, "/etc/front-site/secrets/nginx/ca.crt")
    assert "HTTP/1.1 429" in said
    assert '"code":"too_many_requests"' in said
    assert site.curl(f"{WEB}/").status == 200


def test_a_configuration_that_nginx_does_not_take_leaves_the_former_one(site):
    former = site.place("/etc/front-site/nginx/nginx.conf").read_bytes()
    before = site.pid()
    broken = site.place("/etc/broken.crt")
    broken.write_text("no certificate\n")
    said = site.refusal("-e", "nginx_certificate=/etc/broken.crt", "-e", "nginx_certificate_key=/etc/broken.crt")
    assert "nginx does not take the configuration, and the former goes on" in said
    assert "PEM" in said
    assert site.place("/etc/front-site/nginx/nginx.conf").read_bytes() == former
    assert site.pid() == before
    assert site.curl(f"{WEB}/").status == 200


@pytest.mark.full
def test_a_port_that_somebody_else_has_leaves_the_former_configuration(site):
    former = site.place("/etc/front-site/nginx/nginx.conf").read_bytes()
    before = site.pid()
    # It shows only once it is to be listened on.
    script = "import socket, time; s = socket.create_server(('127.0.0.1', 8444)); print(flush=True); time.sleep(600)"
    command = [*site.machine.within, sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as squatter:
        assert squatter.stdout
        squatter.stdout.readline()
        said = site.refusal("-e", "tripod_https_api_port=8444")
        squatter.kill()
    assert "does not serve the configuration" in said
    assert "Address already in use" in said
    assert site.place("/etc/front-site/nginx/nginx.conf").read_bytes() == former
    assert not list(site.place("/etc/front-site/nginx").glob("*.next"))
    assert site.pid() == before
    assert site.curl(f"{WEB}/").status == 200
    assert "changed=0" in site.play()


def test_a_renewal_is_served_without_a_restart(site):
    before = site.pid()
    first = site.place("/etc/front-site/secrets/nginx/tls.crt").read_text()
    # As on a host that was made anew, or after a run that was cut short: until its end key and certificate do not fit.
    site.place("/etc/front-site/secrets/nginx/tls.key").unlink()
    site.play()
    second = site.place("/etc/front-site/secrets/nginx/tls.crt").read_text()
    assert second != first
    assert site.machine.run(sys.executable, "-c", SHOWN).strip() == second.strip()
    assert site.pid() == before


def test_who_only_ends_what_it_began_serves_no_more(site):
    first, host = int(site.pid()), Host()
    command = ["curl", "-sN", "--resolve", "front.example:443:192.0.2.10", "-H", "Accept: text/event-stream"]
    command += ["--cacert", "/etc/front-site/secrets/nginx/ca.crt", f"{WEB}/api/v1/stream"]
    with subprocess.Popen([*site.machine.within, *command], stdout=subprocess.PIPE) as listener:
        assert listener.stdout
        listener.stdout.readline()
        earlier = serving(host, first)
        os.kill(first, signal.SIGHUP)
        eventually(lambda: serving(host, first) and not earlier & serving(host, first), 20)
        assert any(Path(f"/proc/{one}").exists() for one in earlier)
        listener.kill()


@pytest.mark.full
def test_a_rotation_fails_no_request(site):
    before = site.pid()
    second = site.place("/etc/front-site/secrets/nginx/tls.crt").read_text()
    answers: Counter[int] = Counter()
    with ThreadPoolExecutor(1) as beside:
        rotation = beside.submit(site.play, playbook=ROTATION)
        while not rotation.done():
            # Of both sides: whom the front shows itself as, and whom it takes for the API.
            answers.update(site.curl("--insecure", url).status for url in (f"{WEB}/", f"{API}/api/v1/status"))
            time.sleep(0.1)
        rotation.result()
    assert set(answers) == {200}, answers
    third = site.place("/etc/front-site/secrets/nginx/tls.crt").read_text()
    assert site.machine.run(sys.executable, "-c", SHOWN).strip() == third.strip() != second.strip()
    assert site.curl(f"{WEB}/").status == 200
    assert site.pid() == before
    assert "changed=0" in site.play()


@pytest.mark.full
def test_a_killed_front_is_started_again(site):
    # Its workers, which nobody restarts or tells anything any more, go on.
    site.machine.run("kill", "-KILL", site.pid())
    assert site.curl(f"{WEB}/").status == 200
    said = site.play()
    assert "changed=1" in said, said
    assert site.curl(f"{WEB}/").status == 200
    assert len(site.machine.run("ss", "-Hlnt", "sport = :443").splitlines()) == 2


def test_a_teardown_leaves_nothing(site):
    site.play(playbook="teardown.yml")
    for path in ("/etc/front-site/nginx", "/run/tripod-nginx", "/var/log/tripod-nginx.log"):
        assert not site.place(path).exists(), path
    assert ":443 " not in site.machine.run("ss", "-Hlnt")
    # The secrets are the role teardown's, with the data.
    assert site.place("/etc/front-site/secrets/nginx/ca.crt").exists()
