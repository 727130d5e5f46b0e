"""Sign-in sessions: a short signed access token, and a refresh token that serves once."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from pydal import DAL

from .config import Settings
from .database import Database, now
from .errors import ApiError

ISSUER = "tripod"
AUDIENCE = "tripod-api"
ALGORITHM = "HS256"
# How long after its use a token may come again from the same client, and how often.
REUSE_GRACE = timedelta(seconds=10)
REUSES = 32

CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]


@dataclass(frozen=True)
class Principal:
    """Who makes the request, as the database says now; the token is only believed for the session's number."""

    user: Any
    session_id: int


@dataclass(frozen=True)
class Grant:
    """What a client gets to hold."""

    access_token: str
    refresh_token: str
    user: Any


def unauthorized(code: str, message: str) -> ApiError:
    """Return a 401 with the challenge that RFC 6750 asks for."""
    return ApiError(401, code, message, WWW_Authenticate="Bearer")


def revoke_all(db: DAL, user_id: int) -> None:
    """End every session of a user, inside the caller's transaction."""
    db((db.sessions.user_id == user_id) & (db.sessions.revoked_at == None)).update(revoked_at=now())  # noqa: E711


def revoke_others(db: DAL, user_id: int, session_id: int) -> None:
    """End every session of a user but one, inside the caller's transaction."""
    others = (db.sessions.user_id == user_id) & (db.sessions.id != session_id)
    db(others & (db.sessions.revoked_at == None)).update(revoked_at=now())  # noqa: E711


class Sessions:
    """Starts, continues, checks and ends sessions."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._secret = settings.jwt_secret
        self._access_ttl = settings.access_ttl
        self._session_ttl = timedelta(seconds=settings.session_ttl)

    def start(self, user_id: int, password_hash: str) -> Grant | None:
        """Sign a user in.

        Args:
            user_id: Whose password was just found right.
            password_hash: The hash it was checked against.

        Returns:
            None where the account was closed, or its password changed, while bcrypt was at work.
        """
        with self._database.transaction() as db:
            moment = now()
            same = (db.users.id == user_id) & (db.users.password_hash == password_hash) & (db.users.is_active == True)  # noqa: E712
            # The update holds the row, so a change of it comes before, and is seen, or after, and revokes this session.
            if not db(same).update(signed_in_at=moment):
                return None
            user = db(db.users.id == user_id).select().first()
            db(db.sessions.expires_at <= moment).delete()
            session_id = db.sessions.insert(
                user_id=user.id, created_at=moment, expires_at=moment + self._session_ttl, revoked_at=None
            )
            return self._grant(db, user, int(session_id))

    def rotate(self, refresh_token: str, address: str, agent: str) -> Grant:
        """Trade a refresh token for a new pair.

        Two tabs, a reload within a reload, or an answer that got lost present one token twice. So the same client gets
        another pair for it, within a grace of some seconds; each pair is rotated like any other.

        Args:
            refresh_token: What the client holds.
            address: The client's address.
            agent: The client's User-Agent.

        Raises:
            ApiError: 401; where the token was used before by another client, or long ago, somebody has a copy of it,
                and the whole session ends.
        """
        client = hmac.new(self._secret.encode(), f"client {address} {agent}".encode(), hashlib.sha256).hexdigest()
        invalid = unauthorized("invalid_refresh_token", "The refresh token is not valid; sign in again.")
        with self._database.transaction() as db:
            this = db.refresh_tokens.token_hash == _digest(refresh_token)
            # Of two that come at the same time, the update lets one through.
            unused = this & (db.refresh_tokens.used_at == None)  # noqa: E711
            first = db(unused).update(used_at=now(), used_by=client)
            held = db(this).select().first()
            if held is None:
                raise invalid
            if first or self._again(db, held, client):
                both = db(db.sessions.id == held.session_id)(db.sessions.user_id == db.users.id).select().first()
                if not _alive(both):
                    raise invalid
                return self._grant(db, both.users, both.sessions.id)
            db((db.sessions.id == held.session_id) & (db.sessions.revoked_at == None)).update(revoked_at=now())  # noqa: E711
        # Raised outside, where the revocation is already committed.
        raise unauthorized(
            "refresh_token_reused", "The refresh token was used before; the session is ended, sign in again."
        )

    def _again(self, db: DAL, held: Any, client: str) -> bool:
        """Tell whether a used token is the same client's, within the grace; the rows that it makes are counted."""
        late = now() - held.used_at > REUSE_GRACE
        if late or held.used_by is None or not hmac.compare_digest(held.used_by, client):
            return False
        few = (db.refresh_tokens.id == held.id) & (db.refresh_tokens.reuses < REUSES)
        return bool(db(few).update(reuses=db.refresh_tokens.reuses + 1))

    def authenticate(self, access_token: str) -> Principal:
        """Return who holds the token, or raise a 401."""
        try:
            claims = jwt.decode(
                access_token,
                self._secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=5,
                options={"require": CLAIMS},
            )
            session_id = _session_number(claims["sid"])
        except jwt.ExpiredSignatureError:
            raise unauthorized("token_expired", "The access token has expired; refresh it.") from None
        except Exception as error:
            # Whatever else the library makes of a caller's bytes: a list where it expects a number is a TypeError.
            raise unauthorized("invalid_token", "The access token is not valid.") from error
        with self._database.transaction() as db:
            both = db(db.sessions.id == session_id)(db.sessions.user_id == db.users.id).select().first()
        if not _alive(both):
            raise unauthorized("session_ended", "The session has ended; sign in again.")
        return Principal(both.users, session_id)

    def end(self, session_id: int) -> None:
        """Sign out: neither token of the session is good from now on."""
        with self._database.transaction() as db:
            db((db.sessions.id == session_id) & (db.sessions.revoked_at == None)).update(revoked_at=now())  # noqa: E711

    def _grant(self, db: DAL, user: Any, session_id: int) -> Grant:
        refresh_token = secrets.token_urlsafe(32)
        db.refresh_tokens.insert(session_id=session_id, token_hash=_digest(refresh_token), used_at=None)
        issued = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user.id),
            "sid": str(session_id),
            "jti": uuid.uuid4().hex,
            "iat": issued,
            "exp": issued + self._access_ttl,
        }
        return Grant(jwt.encode(claims, self._secret, ALGORITHM), refresh_token, user)


def _session_number(claim: Any) -> int:
    """Return the claim's number; int() would take a boolean, a fraction and other scripts' digits, too."""
    if not isinstance(claim, str) or not re.fullmatch(r"[0-9]{1,19}", claim, re.ASCII):
        raise jwt.InvalidTokenError("sid")
    return int(claim)


def _digest(token: str) -> str:
    # 256 random bits need no salt and no slow hash.
    return hashlib.sha256(token.encode()).hexdigest()


def _alive(both: Any) -> bool:
    return (
        both is not None
        and both.users.is_active
        and both.sessions.revoked_at is None
        and both.sessions.expires_at > now()
    )
