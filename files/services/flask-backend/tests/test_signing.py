"""Keys of access tokens: another one signs from now on, and nobody notices; what is not signed by it ends soon."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import jwt
import pytest
from conftest import JWT_SECRET, PASSWORD, Caller, sign_in
from contract import ConformingClient
from flask import Flask

from tripod_api.app import create_app
from tripod_api.config import Settings
from tripod_api.context import EXTENSION
from tripod_api.signing import Signer, name_of

pytestmark = pytest.mark.databases("sqlite")

NEXT = "a-second-key-ZYXWVUTSRQPONMLKJIHGFEDCBA"
THIRD = "the-third-key-9876543210zyxwvutsrqponm"
WHO = {"sub": "1", "sid": "1", "jti": "x"}
REFUSED = (401, "invalid_token")


@pytest.fixture
def after(settings: Settings) -> Iterator[Callable[..., Flask]]:
    """The service on the same database, started anew with other keys."""
    with ExitStack() as stack:

        def start(*keys: str) -> Flask:
            app = create_app(replace(settings, jwt_secret=keys[0], former_jwt_secrets=keys[1:]))
            app.test_client_class = ConformingClient
            stack.enter_context(closing(app.extensions[EXTENSION].planes))
            return app

        yield start


def told(caller: Caller) -> tuple[int, str]:
    answer = caller("GET", "/auth/me")
    return answer.status_code, answer.json.get("code", "")


def with_keys(settings: Settings, *keys: str) -> Signer:
    return Signer(replace(settings, jwt_secret=keys[0], former_jwt_secrets=keys[1:]))


def claims(issued: float, life: int = 900) -> dict[str, Any]:
    return {"iss": "tripod", "aud": "tripod-api", **WHO, "iat": int(issued), "exp": int(issued) + life}


def test_a_token_names_its_key_and_the_name_tells_nothing_of_it(settings: Settings) -> None:
    token = with_keys(settings, NEXT, JWT_SECRET).sign(WHO)
    name = jwt.get_unverified_header(token)["kid"]
    assert name == name_of(NEXT) != name_of(JWT_SECRET)
    assert len(name) == 16
    assert jwt.decode(token, NEXT, ["HS256"], audience="tripod-api", issuer="tripod")["sid"] == "1"


def test_the_key_before_is_good_for_what_it_signed_and_signs_nothing_any_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = with_keys(settings, JWT_SECRET).sign(WHO)
    signer = with_keys(settings, NEXT, JWT_SECRET)
    assert signer.read(before)["sid"] == "1"
    began = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: began - 3600)
        long_running = with_keys(settings, NEXT, JWT_SECRET)
    with pytest.raises(jwt.InvalidTokenError, match=r"^iat$"):
        long_running.read(before)
    long = jwt.encode(claims(began - 60, 1000), JWT_SECRET, headers={"kid": name_of(JWT_SECRET)})
    with pytest.raises(jwt.InvalidTokenError, match=r"^iat$"):
        signer.read(long)
    with pytest.raises(jwt.InvalidTokenError, match="kid"):
        with_keys(settings, THIRD, NEXT).read(before)


def test_a_token_without_a_name_is_of_the_first_key(settings: Settings) -> None:
    token = jwt.encode(claims(time.time()), JWT_SECRET)
    assert with_keys(settings, JWT_SECRET).read(token)["sid"] == "1"
    with pytest.raises(jwt.InvalidSignatureError):
        with_keys(settings, NEXT, JWT_SECRET).read(token)


@pytest.mark.parametrize("name", [1, None, ["x"], {"a": 1}, "", "0" * 16, name_of(NEXT)])
def test_a_name_of_no_key_is_refused(app: Flask, admin: Caller, name: Any) -> None:
    # As the library would not write it.
    token = jwt.PyJWS().encode(b"{}", JWT_SECRET, headers={"kid": "x"})
    assert told(replace(admin, access=token)) == REFUSED
    header = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": name}).encode()).decode()
    odd = ".".join([header, *token.split(".")[1:]])
    assert told(replace(admin, client=app.test_client(), access=odd)) == REFUSED


def test_sessions_go_on_through_a_change_of_keys(admin: Caller, after: Callable[..., Flask]) -> None:
    key = {"headers": {"Idempotency-Key": "0b9d1f6e-5c0a-4f0e-9d51-8f4c8f8f7e11"}}
    new = {"email": "new@example.com", "password": PASSWORD, "full_name": "New", "role": "viewer"}
    made = admin("POST", "/users", json=new, **key)
    assert made.status_code == 201
    renewed = admin.refreshed()
    app = after(NEXT, JWT_SECRET)
    behind = replace(admin, client=app.test_client())
    assert told(behind) == (200, "")
    # What was sent before is known again: a request that was carried out, and a refresh token that served just now.
    again = behind("POST", "/users", json=new, **key)
    assert (again.status_code, again.json, again.headers["Idempotency-Replayed"]) == (201, made.json, "true")
    assert behind("POST", "/users", json=new | {"role": "admin"}, **key).json["code"] == "idempotency_key_reused"
    for holder in behind, replace(renewed, client=app.test_client()):
        fresh = holder.refreshed()
        assert jwt.get_unverified_header(fresh.access)["kid"] == name_of(NEXT)
        assert told(fresh) == (200, "")


def test_a_key_that_is_gone_costs_a_refresh(admin: Caller, after: Callable[..., Flask]) -> None:
    behind = replace(admin, client=after(THIRD, NEXT).test_client())
    assert told(behind) == REFUSED
    assert told(behind.refreshed()) == (200, "")


def test_somebody_elses_client_gets_nothing_by_a_change_of_keys(admin: Caller, after: Callable[..., Flask]) -> None:
    admin.refreshed()
    app = after(NEXT, JWT_SECRET)
    answer = app.test_client().post(
        "/api/v1/auth/refresh", json={"refresh_token": admin.refresh}, headers={"User-Agent": "another"}
    )
    assert (answer.status_code, answer.json["code"]) == (401, "refresh_token_reused")
    assert sign_in(app)("GET", "/auth/me").status_code == 200
