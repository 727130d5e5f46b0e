"""Signing in, staying in, signing out, and one's own password."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydal import DAL

from . import audit, shapes
from .api_tokens import revoke_tokens
from .context import principal, services, session_id
from .database import ACCOUNTS_LOCK
from .errors import ApiError
from .operations import operation
from .passwords import judge
from .schemas import Login, NewPassword, Refresh, sign_in_address
from .scopes import Access
from .sessions import Grant, end_own, revoke_others, unauthorized
from .standing import changed
from .throttle import Attempt, network
from .users import shown

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
        user=shown(grant.user),
    )


def _signed_in(db: DAL, user: Any) -> None:
    audit.record(db, f"user {user.id}", None, None, user=user)


def _address() -> str:
    return request.remote_addr or ""


@operation(
    blueprint,
    "POST",
    "/login",
    Access.ANYONE,
    takes=Login,
    gives=shapes.Grant,
    refusals=(401, 429, 503),
    writes="signed in",
)
def login(wanted: Login) -> Response:
    """Start a session; whatever is wrong, the answer and its time are the same."""
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
            grant = parts.sessions.start(user.id, user.password_hash, _signed_in) if user and right else None
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


@operation(blueprint, "POST", "/refresh", Access.ANYONE, takes=Refresh, gives=shapes.Grant, refusals=(401, 503))
def refresh(wanted: Refresh) -> Response:
    """Continue a session with a new pair of tokens."""
    return _granted(services().sessions.rotate(wanted.refresh_token, _address(), request.headers.get("User-Agent", "")))


@operation(blueprint, "POST", "/logout", Access.SESSION, writes="signed out")
def logout() -> tuple[str, int]:
    """End the session this request belongs to."""
    with services().database.transaction() as db:
        end_own(db, principal().user.id, session_id())
        audit.record(db, f"session {session_id()}", None, None)
    changed()
    return "", 204


@operation(blueprint, "GET", "/me", Access.SIGNED_IN, gives=shapes.User)
def me() -> Response:
    """Show the account signed in."""
    return jsonify(shown(principal().user))


@operation(
    blueprint, "PUT", "/me/password", Access.SESSION, takes=NewPassword, refusals=(409, 429), writes="password changed"
)
def change_password(wanted: NewPassword) -> tuple[str, int]:
    """Change one's own password; this session goes on, and all others and the API tokens end."""
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
    # The lock is what API tokens are made under.
    with parts.database.transaction(lock=ACCOUNTS_LOCK) as db:
        same = (db.users.id == user.id) & (db.users.password_hash == user.password_hash)
        if not db(same).update(password_hash=password_hash):
            raise ApiError(409, "conflict", "The password was changed meanwhile; sign in again.")
        revoke_others(db, user.id, session_id())
        revoke_tokens(db, user.id)
        audit.record(db, f"user {user.id}", None, None)
    changed()
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
