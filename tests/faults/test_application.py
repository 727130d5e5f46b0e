"""The application when its database does not answer, its disk is full, or its password is lost."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.site import (
    ADMIN,
    API,
    SECRETS,
    Client,
    admin_password,
    container,
    docker,
    eventually,
    healthy,
    login,
    playbook,
)


def seconds_of(path: str, client: Client | None = None) -> tuple[int, float]:
    """Ask, and return the status and how long it took."""
    began = time.monotonic()
    headers = client.headers if client else {}
    status = requests.get(f"{API}{path}", headers=headers, timeout=60).status_code
    return status, time.monotonic() - began


@pytest.fixture
def paused() -> Iterator[None]:
    """Freeze PostgreSQL; its kernel goes on to acknowledge."""
    docker("pause", container("postgres"))
    try:
        yield
    finally:
        docker("unpause", container("postgres"))
        # Each worker asks again in its own time.
        eventually("the API to be ready", lambda: all(seconds_of("/readyz")[0] == 200 for _index in range(16)))


def test_a_paused_database_is_an_answer(paused: None) -> None:
    client = Client("no token")
    # Each worker looks twice a second, and believes no answer that takes longer than one.
    eventually("each worker to say so", lambda: all(seconds_of("/readyz")[0] == 503 for _index in range(16)), 5, 0.1)
    with ThreadPoolExecutor(32) as pool:
        asked = list(pool.map(lambda _index: seconds_of("/readyz", client), range(64)))
        probes = list(pool.map(lambda _index: seconds_of("/healthz"), range(16)))
    assert {status for status, _seconds in asked} == {503}
    assert max(seconds for _status, seconds in asked) < 2
    assert {status for status, _seconds in probes} == {200}
    assert max(seconds for _status, seconds in probes) < 2
    assert healthy("flask-backend")


def test_a_full_tmp_costs_no_request() -> None:
    fill = "import pathlib; pathlib.Path('/tmp/fill').write_bytes(bytes(1 << 27))"
    with pytest.raises(subprocess.CalledProcessError):
        docker("exec", container("flask-backend"), "python3", "-c", fill)
    try:
        token = login().json()["access_token"]
        for _index in range(50):
            assert Client(token)("GET", "/auth/me").status_code == 200
        assert "tripod_api_requests_total" in requests.get(f"{API}/metrics", timeout=10).text
    finally:
        docker("exec", container("flask-backend"), "python3", "-c", "import os; os.remove('/tmp/fill')")


def kid(token: str) -> str:
    """Return the name of the key that a token says it is signed with."""
    header = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def test_another_key_of_access_tokens_signs_nobody_out() -> None:
    before = login().json()
    done = playbook("playbooks/rotate_jwt_key.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    for key in (SECRETS / "flask-backend" / "jwt_secret").read_text(encoding="utf-8").splitlines():
        assert key not in done.stdout + done.stderr
    eventually("the API is healthy", lambda: healthy("flask-backend"))
    assert Client(before["access_token"])("GET", "/auth/me").status_code == 200
    renewed = requests.post(f"{API}/api/v1/auth/refresh", json={"refresh_token": before["refresh_token"]}, timeout=10)
    assert renewed.status_code == 200
    assert kid(renewed.json()["access_token"]) != kid(before["access_token"])


def test_a_lost_admin_password_is_recovered() -> None:
    before = admin_password()
    token = login().json()["access_token"]
    done = playbook("playbooks/reset_password.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    new = (SECRETS / "flask-backend" / "reset_password").read_text(encoding="utf-8")
    try:
        assert new not in done.stdout + done.stderr
        assert Client(token)("GET", "/auth/me").status_code == 401
        assert login(ADMIN, before).status_code == 401
        assert login(ADMIN, new).status_code == 200
    finally:
        # What the tests after this one sign in with.
        back = playbook("playbooks/reset_password.yml", "-e", f"reset_password_value={before}")
        assert back.returncode == 0, back.stdout + back.stderr
    assert login().status_code == 200
    assert not (SECRETS / "flask-backend" / "reset_password").exists()
