"""Idempotency-Key: what is sent again, as its answer got lost, is carried out once, and answered as it was at first.

A key is its caller's, and is kept in the database, so that a retry may meet another worker, or the next release. Before
a change is made its key is marked in the transaction that makes it, or that asks the host's agent for it: so nobody has
to guess of a request that was cut off whether it did anything.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from flask import Response, current_app, g, request
from pydal import DAL

from .context import of_host, principal, services
from .database import Conflict, DatabaseUnavailable, now
from .errors import ApiError
from .migrations import SchemaMismatch

logger = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
# With the quotes of a structured field, or without them.
PATTERN = r'^("[A-Za-z0-9._:~-]{8,128}"|[A-Za-z0-9._:~-]{8,128})$'
KEPT = timedelta(hours=24)
MOST = 1000
ANSWER_BYTES = 64 * 1024
# Longer than any request takes, by its deadlines.
RUNNING = timedelta(seconds=120)

# What becomes of a key: taken; what it is for may have been done from here on; done, with the answer; nobody knows.
TAKEN, MARKED, ANSWERED, UNKNOWN = "taken", "marked", "answered", "unknown"


def once(view: Callable[[], Any], secret: bool) -> Any:
    """Answer the request, as it was answered before where its key has been used for it; without a key as usual.

    Args:
        view: Carries it out.
        secret: The answer has what is nowhere kept.

    Raises:
        ApiError: 409 where the first one is not done, or its answer is not to be had; 422 of a key that is malformed or
            was used for something else; 429 where the caller has too many.
    """
    if HEADER not in request.headers:
        return view()
    key = _given()
    found = _claim(key)
    if isinstance(found, Response):
        return found
    g.idempotency = found
    try:
        response = current_app.make_response(view())
    except BaseException as error:
        _settle(error)
        raise
    with _told("keep the answer"), services().database.transaction() as db:
        text = response.get_data(as_text=True)
        kept = not secret and len(text) <= ANSWER_BYTES
        _mine(db).update(
            state=ANSWERED,
            status=response.status_code,
            etag=response.headers.get("ETag", ""),
            answer=text if kept else None,
        )
    return response


def mark(db: DAL) -> None:
    """Note, within the transaction of a change or of its announcement, that the request may have been carried out.

    Raises:
        ApiError: 409 where this one took so long that another took its place.
    """
    if g.get("idempotency") is not None and not _mine(db).update(state=MARKED):
        raise ApiError(
            409, "overtaken", f"The request took too long, and another one with its {HEADER} took its place."
        )


def _given() -> str:
    key = request.headers[HEADER]
    if not re.fullmatch(PATTERN, key):
        raise ApiError(
            422,
            "invalid_idempotency_key",
            f"{HEADER} must be 8 to 128 letters, digits and . _ : ~ -, such as a random UUID.",
        )
    return key.strip('"')


def _claim(key: str) -> Response | tuple[int, Any]:
    """Return the key's row and when it was taken, or the answer that it has."""
    who = principal()
    moment = now()
    keys = _digests("key", key)
    wanted = {"user_id": who.user.id, "token_id": who.token_id or 0, "key_hash": keys[0]}
    # What is asked of another host is another request.
    asked = _digests("request", f"{of_host(request.path)}\n{request.headers.get('If-Match')}\n", request.get_data())
    for last in (False, True):
        try:
            with services().database.transaction() as db:
                table = db.idempotency_keys
                db(table.began_at < moment - KEPT).delete()
                mine = (table.user_id == wanted["user_id"]) & (table.token_id == wanted["token_id"])
                row = db(mine & table.key_hash.belongs(keys)).select().first()
                if row is not None:
                    return _judge(db, row, asked, moment)
                if db(mine).count() >= MOST:
                    raise ApiError(
                        429,
                        "too_many_idempotency_keys",
                        f"{MOST} keys were used in the last 24 hours, and no more are kept for one caller: wait, or "
                        f"send this without {HEADER}.",
                        Retry_After="600",
                    )
                taken = table.insert(**wanted, request_hash=asked[0], began_at=moment, state=TAKEN)
                return int(taken), moment
        except Conflict:
            # Another one with the same key came first, and its row is there now.
            if last:
                raise
    raise AssertionError


def _judge(db: DAL, row: Any, asked: Sequence[str], moment: Any) -> Response | tuple[int, Any]:
    if row.request_hash not in asked:
        raise ApiError(
            422,
            "idempotency_key_reused",
            f"This {HEADER} was used for another request: take a new one for each thing that you want done.",
        )
    if row.state == ANSWERED:
        if row.answer is None:
            raise ApiError(
                409,
                "answer_not_kept",
                "The first request with this key was carried out; its answer is not kept, as it holds a secret or is "
                "too large. Read what is there now, take back what you cannot use, and take a new key to do it again.",
            )
        response = Response(row.answer, row.status, {REPLAYED: "true"}, mimetype="application/json")
        if row.etag:
            response.headers["ETag"] = row.etag
        return response
    if row.state != UNKNOWN and row.began_at > moment - RUNNING:
        raise ApiError(
            409,
            "still_running",
            "The first request with this key is not answered yet; send it again in a moment for its answer.",
            Retry_After="2",
        )
    if row.state == TAKEN:
        # It was cut off before it did anything.
        row_is = (db.idempotency_keys.id == row.id) & (db.idempotency_keys.began_at == row.began_at)
        if db(row_is & (db.idempotency_keys.state == TAKEN)).update(began_at=moment):
            return row.id, moment
    raise ApiError(
        409,
        "outcome_unknown",
        "The first request with this key was cut off, and may have been carried out: read what is there now, and take "
        "a new key if it is still to be done.",
    )


def _settle(error: BaseException) -> None:
    """Give the key back where nothing was done, so that the same request can be sent again once it can be."""
    refused = isinstance(error, Conflict) or (isinstance(error, ApiError) and error.status < 500)
    with _told("give the key back"), services().database.transaction() as db:
        if refused or not _mine(db)(db.idempotency_keys.state == MARKED).update(state=UNKNOWN):
            _mine(db).delete()


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Log where the database does not let it: the caller hears the same, and the key's state is a safe one."""
    try:
        yield
    except (Conflict, DatabaseUnavailable, SchemaMismatch):
        logger.exception("cannot %s of a request with an %s", what, HEADER)


def _mine(db: DAL) -> Any:
    """Return the row of this request, for as long as nobody took its place."""
    number, moment = g.idempotency
    return db((db.idempotency_keys.id == number) & (db.idempotency_keys.began_at == moment))


def _digests(kind: str, text: str, body: bytes = b"") -> list[str]:
    """Return what a text and a body are known by; with a key, as a password in one would be found by trying.

    First with the key of today, then with those before it: what was asked before they changed is known again.
    """
    message = f"{kind} {text}".encode(errors="surrogatepass") + body
    secrets = (hmac.digest(key.encode(), b"idempotency", "sha256") for key in services().settings.jwt_secrets)
    return [hmac.new(secret, message, hashlib.sha256).hexdigest() for secret in secrets]
