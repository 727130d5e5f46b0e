"""The audit trail over REST: who changed what, when, from where; what it was, and what it became.

An entry is written within the transaction of the change where the change is the database's own; of one that the host's
agent makes, before it is asked, and once it is done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain, takewhile
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from pydal import DAL

from . import idempotency, requestid, shapes, trail
from .context import of_host, services, still_permitted
from .database import TRANSACTION_SECONDS, Conflict, Database, DatabaseUnavailable, now
from .errors import ApiError
from .migrations import SchemaMismatch
from .operations import Operation, operation
from .schemas import AuditExport, AuditPage
from .scopes import Scope
from .sessions import Principal
from .trail import Entry, State, told

logger = logging.getLogger(__name__)

blueprint = Blueprint("audit", __name__, url_prefix="/api/v1/audit")

PIECE = 500
# Of one answer, or one piece of an export: about what an entry takes without what it was and became, and all of them.
ENTRY_BYTES = 400
PAGE_BYTES = 1 << 20
# An entry has its number when it is inserted, and is seen when its transaction ends. After so long none can come that
# has a smaller number than one which is there.
SETTLED = timedelta(seconds=TRANSACTION_SECONDS + 2)


def record(db: DAL, target: str, was: State, became: State, *, user: Any = None, step: str = "") -> None:  # noqa: PLR0913
    """Add what this request changes to the trail, inside the caller's transaction.

    Args:
        db: The transaction.
        target: As of an Entry, like the two that follow.
        was: Likewise.
        became: Likewise.
        user: Who does it, where nobody is signed in yet.
        step: Of a change that has several, e.g. ``asked``.
    """
    idempotency.mark(db)
    operation_asked: Operation = g.operation
    holder: Principal | None = g.get("principal")
    who = holder.user if holder else user
    trail.add(
        db,
        Entry(
            action=f"{operation_asked.writes}{step and ' '}{step}",
            target=of_host(target),
            account=who.email,
            was=was,
            became=became,
            user_id=who.id,
            token_id=holder.token_id if holder else None,
            client=request.remote_addr or "",
            request_id=requestid.current() or "",
        ),
    )


def note(target: str, was: State, became: State, step: str = "") -> None:
    """Do the same in a transaction of its own, for a change that is not the database's."""
    with services().database.transaction() as db:
        record(db, target, was, became, step=step)


@contextmanager
def asked(target: str, was: State, wanted: State) -> Iterator[dict[str, Any]]:
    """Put a change that others make on record: what is asked of them, before it is, and what came of it.

    Where the trail cannot be written, nothing is asked. The dictionary takes what came of it.
    """
    note(target, was, wanted, step="asked")
    outcome: dict[str, Any] = {}
    try:
        yield outcome
    except ApiError as error:
        # Who did not answer, or failed on the way, may have done it all the same.
        _follow(target, {"code": error.code}, "refused" if error.status < 500 else "unanswered")
        raise
    _follow(target, outcome, "done")


def _follow(target: str, became: State, step: str) -> None:
    """Put on record what came of a change; where that fails, the caller hears what was said of it all the same."""
    try:
        note(target, None, became, step=step)
    except (Conflict, DatabaseUnavailable, SchemaMismatch):
        logger.exception("no trail of what came of it", extra={"target": target, "step": step})


@operation(blueprint, "GET", "", Scope.AUDIT_READ, window=AuditPage, gives=shapes.AuditPage)
def list_audit(window: AuditPage) -> Response:
    """Page through the audit trail, the newest first."""
    with services().database.transaction() as db:
        rows, more = _rows(db, f"id < {window.before}" if window.before else "id > 0", "DESC", window.limit)
        entries = [told(row) for row in rows]
    return jsonify(entries=entries, next=entries[-1]["id"] if more else None)


@operation(blueprint, "GET", "/export", Scope.AUDIT_READ, window=AuditExport, gives=str, media="application/jsonl")
def export_audit(window: AuditExport) -> Response:
    """Return the audit trail after an entry but for the last seconds, the oldest first, one JSON object a line."""
    pieces = _lines(services().database, window.after, still_permitted(Scope.AUDIT_READ))
    # The first one here, where a database that is away is an answer of its own.
    first = next(pieces, "")
    return Response(chain([first], pieces), mimetype="application/jsonl")


def _lines(database: Database, after: int, check: Callable[[], None]) -> Iterator[str]:
    """Give the trail in pieces, each of a transaction of its own, so that no client holds one open.

    It breaks off, and does not look whole, where whoever asked for it may not have the next one any more.
    """
    while True:
        check()
        with database.transaction() as db:
            rows, more = _rows(db, f"id > {after}", "ASC", PIECE)
            moment = now()
            # One of later than now is from before the clock was set back, and holds nobody up.
            ready = list(takewhile(lambda row: abs(moment - row.moment) >= SETTLED, rows))  # noqa: B023
            lines = [json.dumps(told(row)) + "\n" for row in ready]
        if ready:
            after = ready[-1].id
            yield "".join(lines)
        if not more or len(ready) < len(rows):
            return


def _rows(db: DAL, condition: str, order: str, most: int) -> tuple[list[Any], bool]:
    """Return entries that meet a condition, and whether there are more of them.

    As many as asked for, or as fit into PAGE_BYTES, and one at least: one may hold two policies.
    """
    # Whole numbers of our own making, so there is nothing to quote.
    sizes = db.executesql(
        "SELECT id, COALESCE(LENGTH(was), 0) + COALESCE(LENGTH(became), 0) FROM audit "  # noqa: S608
        f"WHERE {condition} ORDER BY id {order} LIMIT {most + 1}"
    )
    ids: list[int] = []
    size = 0
    for number, length in sizes[:most]:
        size += ENTRY_BYTES + int(length)
        if ids and size > PAGE_BYTES:
            break
        ids.append(int(number))
    rows = list(db(db.audit.id.belongs(ids)).select(orderby=db.audit.id)) if ids else []
    return rows if order == "ASC" else rows[::-1], len(sizes) > len(ids)
