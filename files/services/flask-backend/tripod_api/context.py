"""What the views need, and who may call them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app, g, request

from .api_tokens import PREFIX, ApiTokens
from .config import Settings
from .copies import Copies
from .database import Database
from .errors import ApiError
from .identity import Identity
from .passwords import Passwords
from .planes import Plane, Planes
from .scopes import OF_ROLE, Access, Need, Scope, roles_with
from .sessions import Principal, Sessions, unauthorized
from .throttle import Throttle
from .watch import Watch

EXTENSION = "tripod"


@dataclass(frozen=True)
class Services:
    """The parts one application is made of."""

    settings: Settings
    database: Database
    watch: Watch
    passwords: Passwords
    sessions: Sessions
    api_tokens: ApiTokens
    throttle: Throttle
    planes: Planes
    copies: Copies
    identity: Identity | None = None
    pause: Callable[[float], None] = time.sleep


def services() -> Services:
    """Return the parts of the application that serves this request."""
    return cast(Services, current_app.extensions[EXTENSION])


def plane() -> Plane:
    """Return the host that the request is about; only within an operation that is about one."""
    return cast(Plane, g.plane)


def of_host(what: str) -> str:
    """Name something of the request's host, for logs and the audit trail: with the host where there are several."""
    return f"{what} on {plane().name}" if "plane" in g and services().planes.several else what


def principal() -> Principal:
    """Return who is signed in; only within an operation that asks for it."""
    return cast(Principal, g.principal)


def session_id() -> int:
    """Return the session this request belongs to; only within an operation that asks for one."""
    return cast(int, principal().session_id)


def bearer() -> str:
    """Return the token that this request brings, or raise a 401."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthorized("not_signed_in", "Sign in first: an `Authorization: Bearer` header is needed.")
    return token.strip()


def holder(parts: Services, token: str) -> Principal:
    """Return who holds a token, or raise a 401."""
    found = parts.api_tokens if token.startswith(PREFIX) else parts.sessions
    return found.authenticate(token)


def authorize(needs: Need) -> None:
    """Find out who asks, and refuse whoever may not.

    The role is the database's, not the token's, so a demotion holds from the next request on, and within a second
    where another process made it.

    Raises:
        ApiError: 401 without a valid token, 403 where what it stands for is not enough.
    """
    if needs is Access.ANYONE:
        return
    g.principal = holder(services(), bearer())
    permit(principal(), needs)


def still_permitted(needs: Need) -> Callable[[], None]:
    """Return what raises once whoever makes this request may not any more: for an answer that outlasts its view.

    An access token that has ended meanwhile is no reason: its session goes on.
    """
    parts, token, session = services(), bearer(), principal().session_id

    def check() -> None:
        permit(parts.api_tokens.authenticate(token) if session is None else parts.sessions.who_has(session), needs)

    return check


def permit(who: Principal, needs: Need) -> None:
    """Raise a 403 where what somebody holds is not enough."""
    if needs is Access.SESSION and who.session_id is None:
        raise ApiError(403, "session_needed", "An API token is not enough for this: sign in.")
    if isinstance(needs, Scope) and needs not in who.scopes:
        role = who.user.role
        if needs in OF_ROLE[role]:
            raise ApiError(403, "forbidden", f"This needs the scope {needs}, which the API token was not made for.")
        having = " or ".join(roles_with(needs))
        raise ApiError(403, "forbidden", f"This needs the scope {needs}, so the role {having}; yours is {role}.")
