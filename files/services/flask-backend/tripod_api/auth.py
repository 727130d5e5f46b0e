"""Signing in, staying in, signing out, and one's own password."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request

from .context import principal, services, signed_in
from .errors import ApiError
from .passwords import judge
from .schemas import Login, NewPassword, Refresh, body, sign_in_address
from .sessions import Grant, revoke_others, unauthorized
from .throttle import Attempt, network
from .users import public

logger = logging.getLogger(__name__)

CROWDED_SECONDS = 2.0

blueprint = Blueprint("auth", __name__, url_prefix="/api/v1/auth")


def _granted(grant: Grant) -> Response:
    return jsonify(
        success=True,
        access_token=grant.access_token,
        refresh_token=grant.refresh_token,
        token_type="Bearer",  # noqa: S106
        expires_in=services().settings.access_ttl,
        user=public(grant.user),
    )


def _address() -> str:
    return request.remote_addr or ""


@blueprint.post("/login")
def login() -> Response:
    """Start a session; whatever is wrong, the answer and its time are the same."""
    wanted = body(Login)
    parts = services()
    email = sign_in_address(wanted.email)
    # What is no address may be a password in the wrong field, so it is counted, and not shown.
    account = email or wanted.email
    shown = email or "(no address)"
    user = None
    try:
        parts.passwords.look_in(network(_address()), account)
        with parts.database.transaction() as db:
            if email is not None:
                user = db(db.users.email == email).select().first()
            attempt = parts.throttle.admit(db, _address(), account, user.id if user else None)
        with parts.passwords.admission(network(_address()), account):
            # No connection is held meanwhile: bcrypt takes a quarter of a second.
            right = parts.passwords.check(wanted.password, user.password_hash if user else None)
            grant = parts.sessions.start(user.id, user.password_hash) if user and right else None
            if grant is None:
                _count(attempt)
    except ApiError as error:
        _log("sign-in refused", shown, user, reason=error.code)
        raise
    if grant is None:
        _log("sign-in failed", shown, user)
        raise unauthorized("invalid_credentials", "The e-mail address or the password is wrong.")
    with parts.database.transaction() as db:
        parts.throttle.succeeded(db, grant.user.id, _address())
    return _granted(grant)


@blueprint.post("/refresh")
def refresh() -> Response:
    """Continue a session with a new pair of tokens."""
    given = body(Refresh).refresh_token
    return _granted(services().sessions.rotate(given, _address(), request.headers.get("User-Agent", "")))


@blueprint.post("/logout")
@signed_in()
def logout() -> tuple[str, int]:
    """End the session this request belongs to."""
    services().sessions.end(principal().session_id)
    return "", 204


@blueprint.get("/me")
@signed_in()
def me() -> Response:
    """Show the account signed in."""
    return jsonify(public(principal().user))


@blueprint.put("/me/password")
@signed_in()
def change_password() -> tuple[str, int]:
    """Change one's own password; this session goes on, and all others end."""
    wanted = body(NewPassword)
    parts, user = services(), principal().user
    with parts.database.transaction() as db:
        attempt = parts.throttle.admit(db, _address(), user.email, user.id)
    with parts.passwords.admission(network(_address()), user.email):
        right = parts.passwords.check(wanted.current_password, user.password_hash)
        if not right:
            _count(attempt)
            _log("password change failed", user.email, user)
            # Not a 401: who asks is signed in.
            raise ApiError(403, "wrong_password", "The current password is wrong.")
        judge(wanted.new_password, [user.email, user.full_name])
        password_hash = parts.passwords.hash(wanted.new_password)
    with parts.database.transaction() as db:
        same = (db.users.id == user.id) & (db.users.password_hash == user.password_hash)
        if not db(same).update(password_hash=password_hash):
            raise ApiError(409, "conflict", "The password was changed meanwhile; sign in again.")
        revoke_others(db, user.id, principal().session_id)
    logger.info("password changed", extra={"account": user.email, "user_id": user.id, "client": _address()})
    return "", 204


def _count(attempt: Attempt) -> None:
    parts = services()
    with parts.database.transaction() as db:
        parts.throttle.failed(db, attempt)
    if attempt.crowded:
        # Where nobody may be turned away, each guess takes a while, and few are admitted at a time.
        parts.pause(CROWDED_SECONDS)


def _log(event: str, account: str, user: Any, **more: str) -> None:
    told = {"account": account, "user_id": user.id if user else None, "client": _address(), **more}
    logger.warning(event, extra=told)
