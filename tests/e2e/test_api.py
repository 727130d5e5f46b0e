"""The API and the web server as their clients see them."""

from __future__ import annotations

import json
import uuid

import pytest
import requests

from tests.support.site import API, METRICS, ROOT, WEB, Client, login


@pytest.mark.parametrize(
    "url",
    [
        f"{API}/healthz",
        f"{API}/readyz",
        f"{WEB}/healthz",
        f"{METRICS}/healthz",
        f"{METRICS}/readyz",
        f"{METRICS}/metrics",
    ],
)
def test_says_that_it_lives(url):
    assert requests.get(url, timeout=5).status_code == 200


@pytest.mark.parametrize("path", ["/users", "/auth/me", "/hello", "/dataplane/stats", "/dataplane/status"])
def test_wants_a_token(path):
    answer = requests.get(f"{API}/api/v1{path}", timeout=5)
    assert answer.status_code == 401
    assert answer.json()["detail"]


def test_a_person_is_made_uses_the_role_and_is_removed(api):
    email, password = f"viewer-{uuid.uuid4().hex[:8]}@example.com", uuid.uuid4().hex
    made = api("POST", "/users", {"email": email, "password": password, "full_name": "A Viewer", "role": "viewer"})
    assert made.status_code == 201, made.text
    viewer = Client(login(email, password).json()["access_token"])
    assert viewer("GET", "/hello").status_code == 200
    assert viewer("GET", "/dataplane/stats").status_code == 200
    assert viewer("GET", "/users").status_code == 403
    assert viewer("POST", "/dataplane/trace", {"interface": "tripod0", "frame": "00" * 60}).status_code == 403
    assert api("DELETE", f"/users/{made.json()['id']}").status_code == 204
    assert viewer("GET", "/auth/me").status_code == 401


def test_the_web_server_passes_the_api_on():
    answer = requests.post(
        f"{WEB}/api/v1/auth/login", json={"email": "x@example.com", "password": "wrong-password"}, timeout=10
    )
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert requests.get(f"{WEB}/", timeout=5).headers["content-type"].startswith("text/html")


def test_the_import_files_describe_what_runs():
    directory = ROOT / "config" / "marchproxy"
    services = json.loads((directory / "services.json").read_text())["services"]
    assert {(item["name"], item["port"], item["protocol"]) for item in services} == {
        ("tripod-flask-api", 5000, "http"),
        ("tripod-go-backend", 50051, "grpc"),
        ("tripod-webui", 3000, "http"),
    }
    combined = json.loads((directory / "import-config.json").read_text())
    assert combined["services"] == services
    assert combined["mappings"] == json.loads((directory / "mappings.json").read_text())["mappings"]
    assert combined["metadata"]["app_name"] == "tripod"
