"""Sign-in sessions: a short signed access token, and a refresh token that serves once."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
from pydal import DAL

from . import requestid, trail
from .config import Settings
from .database import Database, now
from .errors import ApiError
from .scopes import OF_ROLE, Scope
from .signing import Signer
from .standing import Standing, changed
from .trail import Entry, Record

# How long after its use a token may come again from the same client, and how often.
REUSE_GRACE = timedelta(seconds=10)
REUSES = 32


@dataclass(frozen=True)
class Principal:
    """Who makes the request, as the database says now; the token is only believed for the session's number.

    Attributes:
        user: The account's row.
        session_id: None of an API token.
        granted: What an API token is for; None of a session, which is for all that its account may do.
        token_id: Of the API token; None of a session.
    """

    user: Any
    session_id: int | None
    granted: frozenset[Scope] | None = None
    token_id: int | None = None

    @property
    def scopes(self) -> frozenset[Scope]:
        """What may be done: what the role has, and of an API token no more than it was made for."""
        of_role = OF_ROLE[self.user.role]
        return of_role if self.granted is None else of_role & self.granted


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
    """End every session of a user, inside the caller's transaction; `standing.changed` is due after it."""
    db((db.sessions.user_id == user_id) & (db.sessions.revoked_at == None)).update(revoked_at=now())  # noqa: E711


def revoke_others(db: DAL, user_id: int, session_id: int) -> None:
    """End every session of a user but one, inside the caller's transaction; `standing.changed` is due after it."""
    others = (db.sessions.user_id == user_id) & (db.sessions.id != session_id)
    db(others & (db.sessions.revoked_at == None)).update(revoked_at=now())  # noqa: E711


def end_own(db: DAL, user_id: int, session_id: int) -> bool:
    """End a session of a user, inside the caller's transaction, and tell whether there was one.

    `standing.changed` is due after it.
    """
    return bool(db(going_on(db, user_id) & (db.sessions.id == session_id)).update(revoked_at=now()))


def _end_as_stolen(db: DAL, session_id: int, address: str) -> None:
    both = db(db.sessions.id == session_id)(db.sessions.user_id == db.users.id).select().first()
    if both is None or not end_own(db, both.users.id, session_id):
        return
    entry = Entry(
        "session ended: its refresh token was used again",
        f"session {session_id}",
        both.users.email,
        user_id=both.users.id,
        client=address,
        request_id=requestid.current() or "",
    )
    trail.add(db, entry)


class Sessions:
    """Starts, continues, checks and ends sessions."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._secrets = settings.jwt_secrets
        self._signer = Signer(settings)
        self._session_ttl = timedelta(seconds=settings.session_ttl)
        self._standing: Standing[Principal] = Standing()

    def start(self, user_id: int, password_hash: str, record: Record) -> Grant | None:
        """Sign a user in.

        Args:
            user_id: Whose password was just found right.
            password_hash: The hash it was checked against.
            record: Puts the user's row on record, within the same transaction.

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
            record(db, user)
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
        # With the keys before, too: a client that is told its pair a second time may have got it before they changed.
        client, *formerly = (
            hmac.new(secret.encode(), f"client {address} {agent}".encode(), hashlib.sha256).hexdigest()
            for secret in self._secrets
        )
        invalid = unauthorized("invalid_refresh_token", "The refresh token is not valid; sign in again.")
        with self._database.transaction() as db:
            this = db.refresh_tokens.token_hash == _digest(refresh_token)
            # Of two that come at the same time, the update lets one through.
            unused = this & (db.refresh_tokens.used_at == None)  # noqa: E711
            first = db(unused).update(used_at=now(), used_by=client)
            held = db(this).select().first()
            if held is None:
                raise invalid
            if first or self._again(db, held, (client, *formerly)):
                both = db(db.sessions.id == held.session_id)(db.sessions.user_id == db.users.id).select().first()
                if not _alive(both):
                    raise invalid
                return self._grant(db, both.users, both.sessions.id)
            _end_as_stolen(db, held.session_id, address)
        # Raised outside, where the revocation is already committed.
        changed()
        raise unauthorized(
            "refresh_token_reused", "The refresh token was used before; the session is ended, sign in again."
        )

    def _again(self, db: DAL, held: Any, client: Sequence[str]) -> bool:
        """Tell whether a used token is the same client's, within the grace; the rows that it makes are counted."""
        late = now() - held.used_at > REUSE_GRACE
        if late or held.used_by is None or not any(hmac.compare_digest(held.used_by, one) for one in client):
            return False
        few = (db.refresh_tokens.id == held.id) & (db.refresh_tokens.reuses < REUSES)
        return bool(db(few).update(reuses=db.refresh_tokens.reuses + 1))

    def authenticate(self, access_token: str) -> Principal:
        """Return who holds the token, as the database said within the last second, or raise a 401."""
        principal = self._standing.get(access_token)
        if principal is None:
            asked = self._standing.asking()
            principal = self.who_has(self._session_of(access_token))
            self._standing.keep(access_token, principal, asked)
        return principal

    def look_up(self, access_tokens: Collection[str]) -> None:
        """Ask the database once about the sessions of many tokens, so that `authenticate` need not for each.

        It is asked whatever is kept: who passes an answer on to others adds an age of its own to it. What is wrong with
        a token is for `authenticate` to say.
        """
        sessions: dict[int, list[str]] = defaultdict(list)
        for token in access_tokens:
            with suppress(ApiError):
                sessions[self._session_of(token)].append(token)
        if not sessions:
            return
        asked = self._standing.asking()
        with self._database.transaction() as db:
            these = db.sessions.id.belongs(list(sessions)) & (db.sessions.user_id == db.users.id)
            rows = {both.sessions.id: both for both in db(these).select()}
        for session_id, held in sessions.items():
            both = rows.get(session_id)
            for token in held:
                if both is None or not _alive(both):
                    self._standing.drop(token)
                else:
                    self._standing.keep(token, Principal(both.users, session_id), asked)

    def _session_of(self, access_token: str) -> int:
        try:
            return _session_number(self._signer.read(access_token)["sid"])
        except jwt.ExpiredSignatureError:
            raise unauthorized("token_expired", "The access token has expired; refresh it.") from None
        except Exception as error:
            # Whatever else the library makes of a caller's bytes: a list where it expects a number is a TypeError.
            raise unauthorized("invalid_token", "The access token is not valid.") from error

    def who_has(self, session_id: int) -> Principal:
        """Return whose session it is, as the database says now, or raise a 401 where it has ended."""
        with self._database.transaction() as db:
            both = db(db.sessions.id == session_id)(db.sessions.user_id == db.users.id).select().first()
        if not _alive(both):
            raise unauthorized("session_ended", "The session has ended; sign in again.")
        return Principal(both.users, session_id)

    def of(self, user_id: int) -> list[Any]:
        """Return the sessions of an account that go on, the oldest first."""
        with self._database.transaction() as db:
            return list(db(going_on(db, user_id)).select(orderby=db.sessions.id))

    def _grant(self, db: DAL, user: Any, session_id: int) -> Grant:
        refresh_token = secrets.token_urlsafe(32)
        db.refresh_tokens.insert(session_id=session_id, token_hash=_digest(refresh_token), used_at=None)
        claims = {"sub": str(user.id), "sid": str(session_id), "jti": uuid.uuid4().hex}
        return Grant(self._signer.sign(claims), refresh_token, user)


def told(session: Any) -> dict[str, Any]:
    """Return what the API tells of a session."""
    return {
        "id": session.id,
        "created_at": f"{session.created_at.isoformat()}Z",
        "expires_at": f"{session.expires_at.isoformat()}Z",
    }


def going_on(db: DAL, user_id: int) -> Any:
    """Return the condition for the sessions of a user that go on."""
    table = db.sessions
    return (table.user_id == user_id) & (table.revoked_at == None) & (table.expires_at > now())  # noqa: E711


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
