"""What one's own account can be used with: its sessions, and its API tokens."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import audit, shapes
from .api_tokens import granted
from .context import principal, services, session_id
from .database import ACCOUNTS_LOCK
from .errors import ApiError
from .operations import operation
from .schemas import NewToken
from .scopes import Access
from .sessions import end_own, revoke_others, told
from .standing import changed

logger = logging.getLogger(__name__)

blueprint = Blueprint("credentials", __name__, url_prefix="/api/v1")

ONE = "<row:number>"


@operation(blueprint, "GET", "/sessions", Access.SESSION, gives=shapes.SessionList)
def list_sessions() -> Response:
    """List one's own sessions, the oldest first."""
    this = session_id()
    rows = services().sessions.of(principal().user.id)
    return jsonify(sessions=[{**told(row), "current": row.id == this} for row in rows])


@operation(blueprint, "DELETE", "/sessions", Access.SESSION, writes="sessions ended")
def end_other_sessions() -> tuple[str, int]:
    """End all of one's own sessions but this one."""
    # The lock is what API tokens are made under.
    with services().database.transaction(lock=ACCOUNTS_LOCK) as db:
        revoke_others(db, principal().user.id, session_id())
        audit.record(db, f"sessions of user {principal().user.id}", None, {"but": session_id()})
    changed()
    _log("other sessions ended")
    return "", 204


@operation(blueprint, "DELETE", f"/sessions/{ONE}", Access.SESSION, refusals=(404,), writes="session ended")
def end_session(number: int) -> tuple[str, int]:
    """End one of one's own sessions."""
    with services().database.transaction() as db:
        if not end_own(db, principal().user.id, number):
            raise ApiError(404, "session_not_found", f"You have no session {number}.")
        audit.record(db, f"session {number}", None, None)
    changed()
    _log("session ended", session=number)
    return "", 204


@operation(blueprint, "GET", "/tokens", Access.SESSION, gives=shapes.TokenList)
def list_tokens() -> Response:
    """List one's own API tokens, the oldest first."""
    return jsonify(tokens=[_public(row) for row in services().api_tokens.of(principal().user.id)])


@operation(
    blueprint,
    "POST",
    "/tokens",
    Access.SESSION,
    takes=NewToken,
    gives=shapes.CreatedToken,
    status=201,
    refusals=(409, 429),
    writes="API token made",
    keyed=True,
    secret=True,
)
def create_token(wanted: NewToken) -> tuple[Response, int]:
    """Make an API token; this answer is the only one that has it."""
    who = principal()
    beyond = sorted(set(wanted.scopes) - who.scopes)
    if beyond:
        raise ApiError(403, "forbidden", f"Your role {who.user.role} does not have the scopes {', '.join(beyond)}.")
    life = timedelta(days=wanted.days)
    token, row = services().api_tokens.make(
        who.user.id,
        session_id(),
        name=wanted.name,
        scopes=set(wanted.scopes),
        life=life,
        record=lambda db, made: audit.record(db, f"API token {made.id}", None, _public(made)),
    )
    _log("API token made", token=row.id, scopes=row.scopes)
    return jsonify(**_public(row), token=token), 201


@operation(blueprint, "DELETE", f"/tokens/{ONE}", Access.SESSION, refusals=(404,), writes="API token revoked")
def revoke_token(number: int) -> tuple[str, int]:
    """Revoke one of one's own API tokens."""
    services().api_tokens.revoke(
        principal().user.id, number, lambda db, row: audit.record(db, f"API token {number}", _public(row), None)
    )
    _log("API token revoked", token=number)
    return "", 204


def _public(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": sorted(granted(row)),
        "created_at": f"{row.created_at.isoformat()}Z",
        "expires_at": f"{row.expires_at.isoformat()}Z",
        "used_at": f"{row.used_at.isoformat()}Z" if row.used_at else None,
    }


def _log(event: str, **what: Any) -> None:
    user = principal().user
    logger.info(event, extra={"account": user.email, "user_id": user.id, "client": request.remote_addr, **what})
