"""The audit trail's table: what is added to it stays, which a trigger of the database sees to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydal import DAL

from .database import now

# What something is, as JSON; never with a secret in it.
State = dict[str, Any] | None


@dataclass(frozen=True)
class Entry:
    """A change that somebody made.

    Attributes:
        action: What was done, e.g. ``user changed``.
        target: To what, e.g. ``user 7``.
        account: Who did it: an account's address, or the command that somebody ran on the host.
        was: What it was before; None where there was nothing, or it does not say.
        became: Likewise, afterwards.
        user_id: The account's.
        token_id: The API token's by which it came.
        client: The client's address.
        request_id: By which the log's lines are found.
    """

    action: str
    target: str
    account: str
    was: State = None
    became: State = None
    user_id: int | None = None
    token_id: int | None = None
    client: str = ""
    request_id: str = ""


# Puts a row on record, within the transaction of the change.
Record = Callable[[DAL, Any], None]


def add(db: DAL, entry: Entry) -> None:
    """Add an entry, inside the transaction of the change."""
    db.audit.insert(
        moment=now(),
        request_id=entry.request_id,
        user_id=entry.user_id,
        account=entry.account,
        token_id=entry.token_id,
        client=entry.client,
        action=entry.action,
        target=_printable(entry.target)[:300],
        was=_text(entry.was),
        became=_text(entry.became),
    )


def told(row: Any) -> dict[str, Any]:
    """Return an entry as the API tells it."""
    return {
        "id": row.id,
        "time": f"{row.moment.isoformat()}Z",
        "request_id": row.request_id,
        "user_id": row.user_id,
        "account": row.account,
        "token_id": row.token_id,
        "client": row.client,
        "action": row.action,
        "target": row.target,
        "was": _read(row.was),
        "became": _read(row.became),
    }


def _printable(text: str) -> str:
    """Escape what a caller may write and no database takes: NUL, halves of surrogate pairs."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def _text(value: State) -> str | None:
    if value is None:
        return None
    # In ASCII, for the same reason.
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        # What is no JSON would make none of every page that has it.
        return json.dumps({"no_json": repr(value)})


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
