"""The TLS front: what people and programs use from outside, by names that its certificate is for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from tests.support.browser import person, sign_in
from tests.support.site import ADMIN, API, SECRETS, WEB, admin_password, docker, eventually, playbook, result

FRONT, PROGRAMS = "https://localhost", "https://localhost:8443"
CA = str(SECRETS / "nginx" / "ca.crt")


def curl(*words: str) -> tuple[str, list[str], str]:
    """Return the status line, the headers and the body of an answer."""
    command = ["curl", "--silent", "--show-error", "--include", "--cacert", CA, "--max-time", "20", *words]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    head, _blank, body = answer.replace("\r\n", "\n").partition("\n\n")
    first, *headers = head.splitlines()
    return first, headers, body


def test_both_are_served_by_http2_with_headers_that_are_there_once():
    for url in (f"{FRONT}/", f"{FRONT}/api/v1/status", f"{PROGRAMS}/api/v1/status"):
        first, headers, _body = curl("--http2", url)
        assert first.split()[:2] == ["HTTP/2", "200"], url
        names = [line.partition(":")[0].lower() for line in headers]
        assert len(names) == len(set(names)), headers
        assert {"x-content-type-options", "x-request-id"} <= set(names)
    for path in ("/metrics", "/healthz"):
        first, _headers, body = curl(f"{PROGRAMS}{path}")
        assert first.split()[1] == "404"
        assert json.loads(body)["code"] == "not_found"


@pytest.mark.parametrize("base", [FRONT, PROGRAMS])
def test_somebody_signs_in_by_it(base):
    body = {"email": ADMIN, "password": admin_password()}
    answer = requests.post(f"{base}/api/v1/auth/login", json=body, verify=CA, timeout=20)
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert requests.get(f"{base}/api/v1/auth/me", headers=headers, verify=CA, timeout=20).json()["email"] == ADMIN


def told(service: str, request: str) -> dict:
    """Return what a service's log says of a request: a line, which comes a moment after the answer."""
    found: list[dict] = []

    def is_there() -> bool:
        said = subprocess.run(["docker", "logs", f"tripod-{service}"], capture_output=True, text=True, check=True)
        every = [json.loads(line) for line in (said.stdout + said.stderr).splitlines() if request in line]
        found[:] = [line for line in every if "status" in line]
        return bool(found)

    eventually(f"{service} says what became of {request}", is_there, seconds=20)
    [line] = found
    return line


def test_a_request_has_one_name_and_one_client_in_all_logs_and_nobody_else_says_who_that_is():
    claim = {"X-Forwarded-For": "198.51.100.7"}
    asked = "/api/v1/auth/me"
    ways = ((FRONT, asked, ["flask-backend"]), (FRONT, "/", ["webui"]), (PROGRAMS, asked, ["flask-backend"]))
    for number, (base, path, services) in enumerate([*ways, (WEB, asked, ["webui", "flask-backend"])]):
        request = f"e2e-{os.getpid()}-{number}"
        requests.get(f"{base}{path}", headers={**claim, "X-Request-ID": request}, verify=CA, timeout=20)
        for service in services:
            line = told(service, request)
            assert "198.51.100.7" not in json.dumps(line)
            if base != WEB:
                assert "127.0.0.1" in line.values(), line
    # The host's own users, who come from the same address as the front, are not believed without its secret.
    request = f"e2e-{os.getpid()}-api"
    requests.get(f"{API}/api/v1/auth/me", headers={**claim, "X-Request-ID": request}, timeout=20)
    line = told("flask-backend", request)
    assert not {"198.51.100.7", "127.0.0.1"} & set(map(str, line.values()))


def test_the_web_interface_asks_the_api_by_tls():
    environment = docker("inspect", "tripod-webui", "--format", "{{json .Config.Env}}")
    assert "API_URL=https://flask-backend:5000" in json.loads(environment)
    assert requests.get(f"{WEB}/readyz", timeout=20).status_code == 200


def test_a_browser_that_trusts_the_authority_takes_the_site(tmp_path):
    store = tmp_path / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for words in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "site", "-i", CA]):
        subprocess.run(["certutil", "-d", f"sql:{store}", *words], check=True)
    with person(home=tmp_path) as context:
        page = context.new_page()
        sign_in(page, admin_password(), base=FRONT)
        expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
        assert page.url.startswith(FRONT)


def test_a_renewed_certificate_is_served_without_a_restart():
    pid = Path("/run/tripod-nginx/nginx.pid").read_text()
    before = (SECRETS / "nginx" / "tls.crt").read_text()
    (SECRETS / "nginx" / "tls.key").unlink()
    # As after a run that was cut short.
    done = playbook("playbooks/deploy.yml", "--tags", "pki")
    assert done.returncode == 0, result(done)
    assert (SECRETS / "nginx" / "tls.crt").read_text() != before
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:443", "-CAfile", CA, "-verify_return_error"],
        input="",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (SECRETS / "nginx" / "tls.crt").read_text().strip() in shown
    assert Path("/run/tripod-nginx/nginx.pid").read_text() == pid
