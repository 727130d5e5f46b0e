"""Signing in, staying in, signing out."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from .context import principal, services, signed_in
from .schemas import Login, Refresh, body
from .sessions import Grant, unauthorized
from .users import public

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


@blueprint.post("/login")
def login() -> Response:
    """Start a session; whatever is wrong, the answer and its time are the same."""
    wanted = body(Login)
    email = wanted.email.strip().lower()
    address = request.remote_addr or ""
    parts = services()
    parts.throttle.admit(address, email)
    user = None
    # PostgreSQL's text has no NUL, so no account has one either.
    if "\0" not in email:
        with parts.database.transaction() as db:
            user = db(db.users.email == email).select().first()
    # No connection is held meanwhile: bcrypt takes a quarter of a second.
    right = parts.passwords.check(wanted.password, user.password_hash if user else None)
    grant = parts.sessions.start(user.id, user.password_hash) if user and right else None
    if grant is None:
        parts.throttle.failed(address, email)
        raise unauthorized("invalid_credentials", "The e-mail address or the password is wrong.")
    return _granted(grant)


@blueprint.post("/refresh")
def refresh() -> Response:
    """Continue a session with a new pair of tokens."""
    return _granted(services().sessions.rotate(body(Refresh).refresh_token))


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
