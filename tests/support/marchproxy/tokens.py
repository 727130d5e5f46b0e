"""How the real server knows who asks (3.1): tokens of thirty minutes that say they live for sixty."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from .rows import Integer, Text, User, missing, validated
from .serving import Answer, Raised, Request

LIFETIME, REFRESH_LIFETIME, CLAIMED = 1800, 7 * 86400, 3600  # seconds
_LOGIN = {"username": Text(3, 128), "password": Text(8), "totp_code": Text(6, 6, null=True)}


class Tokens:
    """Users and what they were given.

    Attributes:
        users: Everybody; the first is an administrator.
        clock: Seconds; a test may put it forward.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.users: list[User] = []
        self.clock = clock
        self._tokens: dict[str, tuple[User, float, str]] = {}

    def add(self, username: str, password: str, **fields: Any) -> User:
        """Register somebody."""
        user = User(username, password, len(self.users) + 1, **{"is_admin": not self.users, **fields})
        self.users.append(user)
        return user

    def issue(self, user: User) -> dict[str, Any]:
        """Return a pair of tokens as after a login."""
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._tokens[access] = user, self.clock() + LIFETIME, "access"
        self._tokens[refresh] = user, self.clock() + REFRESH_LIFETIME, "refresh"
        return {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": CLAIMED}

    def user(self, request: Request) -> User:
        """Return who asks, or raise: 403 without a header, 401 for a bad or old token, 404 for somebody put out."""
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Raised(403, "Not authenticated")
        user, until, _kind = self._tokens.get(token, (None, 0, ""))  # a refresh token passes too
        if user is None or until <= self.clock():
            raise Raised(401, "Could not validate credentials", WWW_Authenticate="Bearer")
        if not user.is_active:
            raise Raised(404, "User not found or inactive")
        return user

    def login(self, request: Request) -> Answer:
        """``POST /auth/login``: JSON, not a form."""
        values = self._credentials(request)
        user = next((user for user in self.users if user.username == values["username"]), None)
        if user is None or user.password != values["password"]:
            raise Raised(401, "Incorrect username or password", WWW_Authenticate="Bearer")
        if not user.is_active:
            raise Raised(403, "User account is deactivated")
        code = values.get("totp_code")
        if user.totp and not code:
            return Answer(200, self._said(user, True, {"access_token": None, "refresh_token": None}))
        if user.totp and code != user.totp:
            raise Raised(401, "Invalid 2FA code")
        return Answer(200, self._said(user, False, self.issue(user)))

    def register(self, request: Request) -> Answer:
        """``POST /auth/register``: open to everybody."""
        values = self._credentials(request)
        if any(user.username == values["username"] for user in self.users):
            raise Raised(400, "Username or email already registered")
        user = self.add(values["username"], values["password"])
        return Answer(201, self._said(user, False, self.issue(user)))

    def refresh(self, request: Request) -> Answer:
        """``POST /auth/refresh``."""
        token = request.body.get("refresh_token") if isinstance(request.body, dict) else None
        user, until, kind = self._tokens.get(str(token), (None, 0, ""))
        if user is None or until <= self.clock():
            raise Raised(401, "Invalid or expired refresh token")
        if kind != "refresh":
            raise Raised(401, "Invalid token type")
        return Answer(200, self.issue(user))

    def assign(self, request: Request, user_id: int) -> Answer:
        """``POST /users/{id}/cluster-assignments`` (3.3)."""
        if not self.user(request).is_admin:
            raise Raised(403, "Admin privileges required")
        kinds = {"user_id": Integer(), "cluster_id": Integer()}
        values, errors = validated(request.body, kinds)
        errors += missing(request.body, kinds)
        if errors:
            raise Raised(422, errors)
        self.users[user_id - 1].clusters.add(values["cluster_id"])
        return Answer(201, values)

    @staticmethod
    def _credentials(request: Request) -> dict[str, Any]:
        values, errors = validated(request.body, _LOGIN)
        errors += missing(request.body, ("username", "password")) if isinstance(request.body, dict) else []
        if errors:
            raise Raised(422, errors)
        return values

    @staticmethod
    def _said(user: User, second_factor: bool, tokens: dict[str, Any]) -> dict[str, Any]:
        about = {"user_id": user.id, "username": user.username, "email": user.username, "is_admin": user.is_admin}
        return {**about, "requires_2fa": second_factor, "token_type": "bearer", "expires_in": None, **tokens}
