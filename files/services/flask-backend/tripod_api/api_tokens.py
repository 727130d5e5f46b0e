"""API tokens: what a script holds instead of somebody's password, for some of that account's scopes and for a while.

Only a digest is stored, so a token is seen once, when it is made.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from pydal import DAL

from .database import ACCOUNTS_LOCK, Database, now
from .errors import ApiError
from .scopes import Scope
from .sessions import Principal, going_on, unauthorized
from .trail import Record

# By which a token is told from an access token, and found by whoever searches for secrets in files.
PREFIX = "tripod_"
FORM = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
MOST = 32
MADE_HOURLY = 64
# A token that has ended is kept for whoever looks why a script fails.
KEPT = timedelta(days=1)
# The last use is told to the minute: a write for each request would cost more than the request.
USE_SECONDS = 60


def revoke_tokens(db: DAL, user_id: int) -> None:
    """Revoke every API token of a user, inside the caller's transaction."""
    mine = (db.api_tokens.user_id == user_id) & (db.api_tokens.revoked_at == None)  # noqa: E711
    db(mine).update(revoked_at=now())


class ApiTokens:
    """Makes, lists, checks and revokes API tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(  # noqa: PLR0913
        self, user_id: int, session_id: int, *, name: str, scopes: Collection[Scope], life: timedelta, record: Record
    ) -> tuple[str, Any]:
        """Return a new token and its row.

        Args:
            user_id: Whose it is.
            session_id: By which it is asked for; it has to go on.
            name: What it is for.
            scopes: What may be done by it.
            life: How long.
            record: Puts the new row on record, within the same transaction.

        Raises:
            ApiError: 409 where the account has as many as it may have, 429 where it made too many of late; 401 where
                the session has ended meanwhile.
        """
        token = PREFIX + secrets.token_urlsafe(32)
        # Under the lock of what ends tokens, or one that is made after that would outlive it; and two that come at the
        # same time would both find room for one.
        with self._database.transaction(lock=ACCOUNTS_LOCK) as db:
            table, moment = db.api_tokens, now()
            this = going_on(db, user_id) & (db.sessions.id == session_id) & (db.sessions.user_id == db.users.id)
            if not db(this & (db.users.is_active == True)).count():  # noqa: E712
                raise unauthorized("session_ended", "The session has ended; sign in again.")
            if db(self._valid(db, user_id, moment)).count() >= MOST:
                raise ApiError(409, "too_many_tokens", f"This account has {MOST} API tokens; revoke one first.")
            mine = table.user_id == user_id
            if db(mine & (table.created_at > moment - timedelta(hours=1))).count() >= MADE_HOURLY:
                raise ApiError(
                    429,
                    "too_many_tokens_made",
                    f"{MADE_HOURLY} API tokens were made in the last hour, and there may be no more; try again later.",
                    Retry_After="600",
                )
            db(mine & ((table.expires_at < moment - KEPT) | (table.revoked_at < moment - KEPT))).delete()
            token_id = table.insert(
                user_id=user_id,
                name=name,
                token_hash=_digest(token),
                scopes=" ".join(sorted(scopes)),
                created_at=moment,
                expires_at=moment + life,
                revoked_at=None,
                used_at=None,
            )
            row = db(table.id == int(token_id)).select().first()
            record(db, row)
            return token, row

    def of(self, user_id: int) -> list[Any]:
        """Return the tokens of an account that are good, the oldest first."""
        with self._database.transaction() as db:
            return list(db(self._valid(db, user_id, now())).select(orderby=db.api_tokens.id))

    def revoke(self, user_id: int, token_id: int, record: Record) -> None:
        """End a token of an account, and put the row that it had on record.

        Raises:
            ApiError: 404 where it has no such token.
        """
        with self._database.transaction() as db:
            this = self._valid(db, user_id, now()) & (db.api_tokens.id == token_id)
            row = db(this).select().first()
            if row is None or not db(this).update(revoked_at=now()):
                raise ApiError(404, "token_not_found", f"You have no API token {token_id}.")
            record(db, row)

    def authenticate(self, token: str) -> Principal:
        """Return who holds the token, with its scopes, or raise a 401."""
        if not FORM.fullmatch(token):
            # Which costs the database nothing.
            raise unauthorized("invalid_token", "The API token is not valid.")
        with self._database.transaction() as db:
            moment = now()
            this = (db.api_tokens.token_hash == _digest(token)) & (db.api_tokens.user_id == db.users.id)
            both = db(this).select().first()
            if both is None or not both.users.is_active:
                raise unauthorized("invalid_token", "The API token is not valid.")
            if both.api_tokens.revoked_at is not None:
                raise unauthorized("token_revoked", "The API token was revoked.")
            if both.api_tokens.expires_at <= moment:
                raise unauthorized("token_expired", "The API token has expired; make another.")
            used = both.api_tokens.used_at
            if used is None or moment - used >= timedelta(seconds=USE_SECONDS):
                db(db.api_tokens.id == both.api_tokens.id).update(used_at=moment)
        return Principal(both.users, None, granted(both.api_tokens), both.api_tokens.id)

    def made(self, tokens: Collection[str]) -> set[str]:
        """Return those of many tokens that were made here, asking the database once; `authenticate` judges them."""
        digests = {_digest(token): token for token in tokens if FORM.fullmatch(token)}
        if not digests:
            return set()
        with self._database.transaction() as db:
            rows = db(db.api_tokens.token_hash.belongs(list(digests))).select(db.api_tokens.token_hash)
        return {digests[row.token_hash] for row in rows}

    def _valid(self, db: DAL, user_id: int, moment: datetime) -> Any:
        table = db.api_tokens
        return (table.user_id == user_id) & (table.revoked_at == None) & (table.expires_at > moment)  # noqa: E711


def granted(row: Any) -> frozenset[Scope]:
    """Return the scopes of a token; one that this release does not know is left out."""
    return frozenset(Scope(word) for word in row.scopes.split() if word in set(Scope))


def _digest(token: str) -> str:
    # 256 random bits need no salt and no slow hash.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
