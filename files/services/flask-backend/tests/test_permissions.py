"""Every operation, asked by everybody: who may is answered, whoever may not is refused, and nothing is in between."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import Caller, enrol, sign_in
from flask import Flask

from tripod_api.openapi import PARAMETER
from tripod_api.operations import Operation, operations
from tripod_api.scopes import OF_ROLE, Access, Need, Role, Scope

pytestmark = pytest.mark.databases("sqlite")

# What no test may have done is asked of nobody: an account, a policy, an address that are not there.
NOTHING = {"user_id": "999999999", "number": "999999999"}
ROLES: list[Role] = ["viewer", "maintainer", "admin"]


def asked(app: Flask) -> list[tuple[str, str, Operation]]:
    """Return each operation's address, method and itself; a route without one is an error of test_openapi."""
    return [
        (PARAMETER.sub(lambda found: NOTHING.get(found[2], "nothing"), path), method, told)
        for path, method, told in operations(app)
        if told is not None
    ]


def may(role: Role, needs: Need) -> bool:
    return not isinstance(needs, Scope) or needs in OF_ROLE[role]


def outcome(app: Flask, path: str, method: str, token: str | None) -> tuple[int, Any]:
    """Return the status and the code; the body is one that nothing takes, so that nothing is done."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {} if method == "GET" else {"json": {"no such key": True}}
    answer = app.test_client().open(path, method=method, headers=headers, **body)
    return answer.status_code, (answer.json or {}).get("code")


def test_without_a_token_only_what_needs_none_is_answered(app: Flask) -> None:
    for path, method, told in asked(app):
        status, code = outcome(app, path, method, None)
        refused = (status, code) == (401, "not_signed_in")
        assert refused == (told.needs is not Access.ANYONE), f"{method} {path}: {status} {code}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_its_scopes_say(app: Flask, admin: Caller, role: Role) -> None:
    account = enrol(admin, role, f"another-{role}@example.com")
    caller = sign_in(app, account["email"])
    for path, method, told in asked(app):
        status, code = outcome(app, path, method, caller.access)
        if told.name == "logout":
            caller = sign_in(app, account["email"])
        refused = (status, code) == (403, "forbidden")
        assert refused == (not may(role, told.needs)), f"{role}, {method} {path}: {status} {code}"
        assert refused or status not in {401, 403} or told.needs is Access.ANYONE, f"{role}, {method} {path}: {code}"


@pytest.mark.parametrize("role", ROLES)
def test_a_token_may_what_its_scope_and_its_owner_may(app: Flask, admin: Caller, role: Role) -> None:
    owner = sign_in(app, enrol(admin, role, f"another-{role}@example.com")["email"])
    for scope in sorted(OF_ROLE[role]):
        token = owner("POST", "/tokens", json={"name": scope, "scopes": [scope], "days": 1}).json["token"]
        for path, method, told in asked(app):
            status, code = outcome(app, path, method, token)
            allowed = told.needs in {scope, Access.ANYONE, Access.SIGNED_IN}
            refused = status == 403 and code in {"forbidden", "session_needed"}
            assert refused == (not allowed), f"{role} with {scope}, {method} {path}: {status} {code}"


def test_a_larger_role_may_all_that_a_smaller_one_may() -> None:
    assert OF_ROLE["viewer"] < OF_ROLE["maintainer"] < OF_ROLE["admin"] == set(Scope)


def test_each_scope_is_needed_and_named_alike(app: Flask) -> None:
    assert {told.needs for _, _, told in asked(app)} == {*Scope, *Access}
    assert all(re.fullmatch(r"[a-z]+:(read|write|trace)", scope) for scope in Scope)


def test_who_only_looks_changes_nothing(app: Flask) -> None:
    """No write hides behind a GET, and a scope to read is enough for no write."""
    for path, method, told in asked(app):
        reading = told.needs in {Scope.DATAPLANE_READ, Scope.POLICY_READ, Scope.USERS_READ}
        assert not reading or method == "GET", f"{method} {path} needs {told.needs}"
