"""What the views need, and who may call them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from flask import current_app, g, request

from .config import Settings
from .database import Database
from .dataplane import Dataplane
from .errors import ApiError
from .history import History
from .passwords import Passwords
from .sessions import Principal, Sessions, unauthorized
from .throttle import Throttle

P = ParamSpec("P")
R = TypeVar("R")

EXTENSION = "tripod"


@dataclass(frozen=True)
class Services:
    """The parts one application is made of."""

    settings: Settings
    database: Database
    passwords: Passwords
    sessions: Sessions
    throttle: Throttle
    dataplane: Dataplane
    history: History
    pause: Callable[[float], None] = time.sleep


def services() -> Services:
    """Return the parts of the application that serves this request."""
    return cast(Services, current_app.extensions[EXTENSION])


def principal() -> Principal:
    """Return who is signed in; only within a view that ``signed_in`` guards."""
    return cast(Principal, g.principal)


def signed_in(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard a view: a valid access token is needed, and one of the roles where any is named.

    The role is the database's, not the token's, so a demotion holds from the next request on.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise unauthorized("not_signed_in", "Sign in first: an `Authorization: Bearer` header is needed.")
            g.principal = services().sessions.authenticate(token.strip())
            role = g.principal.user.role
            if roles and role not in roles:
                raise ApiError(403, "forbidden", f"This needs the role {' or '.join(roles)}; yours is {role}.")
            return view(*args, **kwargs)

        return guarded

    return decorate
