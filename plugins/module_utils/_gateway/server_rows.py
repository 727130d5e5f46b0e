# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""All services that a server lists, page by page, around rows that make a page an error.

A name is unique over all clusters and deleted rows, so all of them are read. The order of rows that were made at the
same moment is not the same on every page, so that a row can be on two and another on none: what counts is that as many
were seen as the server says there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import Impossible
from .http import Reply
from .model import Row
from .session import API, Failed, Session

# Rows of a page. Another size is another order of what was made at the same moment.
PAGES = (1000, 701, 499, 307, 211, 997, 887, 773, 661, 547, 431, 353)
UNREADABLE_LIMIT = 20  # rows that make a page an error, each found with two requests for every halving of a page
_BEYOND = 10**9  # further than any row: a page of nothing, which no row can make an error


@dataclass(frozen=True)
class Listing:
    """What a server lists.

    Attributes:
        rows: All that can be read; of rows with an illegal value those that the cluster's configuration shows.
        illegal: Of those, ids of the rows with an illegal value.
        hidden: Places in the list of rows with an illegal value that cannot be read anywhere.
    """

    rows: Sequence[Row]
    illegal: Sequence[int | str] = ()
    hidden: Sequence[int] = ()

    def warnings(self, ours: Callable[[Row], bool]) -> list[str]:
        """Return what the operator should know of rows that make lists an error for everybody."""
        named = [
            f"service {row.name} (id {row.id}, collection {row.fields.get('collection')}) holds an illegal value, "
            "which makes every list with it an error for everybody, and is not ours to repair"
            for row in self.rows
            if row.id in self.illegal and not ours(row)
        ]
        return named + [
            f"the row of GET {API}/services?active_only=false&limit=1&skip={place} holds an illegal value, which makes "
            "every list with it an error for everybody; only the server's administrator can see whose it is (of active "
            "rows of the cluster, cluster_key shows it)"
            for place in self.hidden
        ]


@dataclass(frozen=True)
class Page:
    """What a server of the documented API lists.

    Attributes:
        listing: That; None where it lists nothing to the holder of its key.
        refused: The status, 401 or 403, where that is for the key's sake; else 0.
    """

    listing: Listing | None
    refused: int = 0


@dataclass
class _Read:
    """One reading of all pages."""

    rows: dict[int | str, Row] = field(default_factory=dict)
    hidden: list[int] = field(default_factory=list)
    totals: set[int] = field(default_factory=set)
    repeated: int = 0


def read_rows(session: Session, cluster_id: int | None) -> Listing:
    """Return all rows that the user sees, deleted ones and those of other clusters too.

    Args:
        session: Who asks; with its cluster's key, rows that make a page an error are read from the configuration.
        cluster_id: The cluster of that key.

    Raises:
        Failed: The server cannot list even nothing, or refuses to.
        Impossible: The list does not hold still, or too many rows make it an error.
        Unanswered: No answer came in time.
    """
    seen: dict[int | str, Row] = {}
    for size in PAGES:
        read = _read(session, size)
        if len(read.totals) > 1:
            seen = read.rows
            continue  # somebody else writes
        seen |= read.rows
        # A row that was assigned to the user twice is on its page twice, and counted so.
        total = max(read.totals) - read.repeated
        if not read.hidden and len(read.rows) == total:
            return Listing(list(read.rows.values()))
        # A row that moves can have been an error twice, and another unseen: so of all that were ever seen.
        if len(seen) + len(read.hidden) == total:
            return _with_illegal(session, list(seen.values()), read.hidden, cluster_id)
    raise Impossible(
        f"the server's list of services changed while it was read, {len(PAGES)} times: somebody else writes to it; run "
        "again once that has ended"
    )


def read_page(session: Session) -> Page:
    """Return what a server of the documented API lists to the holder of its key.

    Raises:
        Failed: It is out of order.
        Unanswered: No answer came in time.
    """
    reply = session.ask_with_key("GET", "/services?active_only=false&limit=1000&skip=0")
    if reply.status >= 500 and reply.status != 501:  # 501: it has no GET at all, so it lists nothing
        raise Failed(f"GET {API}/services", session, reply)
    entries = _entries(reply)
    if entries is None or _total(reply, len(entries)) > len(entries):
        return Page(None, reply.status if reply.status in (401, 403) else 0)
    return Page(Listing([Row.of(entry) for entry in entries]))


def _read(session: Session, size: int) -> _Read:
    read, place = _Read(), 0
    while True:
        count = _take(session, read, place, size)
        place += size
        if count < size or place >= max(read.totals):
            return read


def _take(session: Session, read: _Read, place: int, size: int) -> int:
    """Read a page, and the halves of one that is an error; return how many rows were on it."""
    path = f"/services?active_only=false&limit={size}&skip={place}"
    reply = session.ask("GET", path)
    entries = _entries(reply)
    if entries is not None:
        rows = {entry["id"]: Row.of(entry) for entry in entries}
        read.rows |= rows
        read.repeated += len(entries) - len(rows)
        read.totals.add(_total(reply, len(entries)))
        return len(entries)
    if reply.status != 500:
        raise Failed(f"GET {API}{path}", session, reply)
    _require_lists(session, read)
    size = min(size, max(read.totals) - place)
    if size <= 0:
        return 0
    if size == 1:
        read.hidden.append(place)
        if len(read.hidden) > UNREADABLE_LIMIT:
            raise Impossible(
                f"more than {UNREADABLE_LIMIT} services on the server hold an illegal value, at {read.hidden} in GET "
                f"{API}/services?active_only=false&limit=1&skip=N: have its administrator repair them"
            )
        return 1
    half = size // 2
    first = _take(session, read, place, half)
    return first + (_take(session, read, place + half, size - half) if first == half else 0)


def _require_lists(session: Session, read: _Read) -> None:
    """Raise where not a row but the server is why a page is an error."""
    if read.totals:
        return
    path = f"/services?active_only=false&limit=1&skip={_BEYOND}"
    reply = session.ask("GET", path)
    if _entries(reply) is None:
        raise Failed(f"GET {API}{path}", session, reply)
    read.totals.add(_total(reply, 0))


def _entries(reply: Reply) -> list[Mapping[str, Any]] | None:
    entries = reply.body.get("services") if reply.status == 200 and isinstance(reply.body, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) and "id" in entry for entry in entries):
        return None
    return entries


def _total(reply: Reply, count: int) -> int:
    total = reply.body.get("total", count)
    return total if isinstance(total, int) else count


def _with_illegal(session: Session, rows: list[Row], hidden: Sequence[int], cluster_id: int | None) -> Listing:
    """Return the listing with what the cluster's configuration shows of rows that the list cannot."""
    if not hidden or cluster_id is None or not session.credentials.cluster_key:
        return Listing(rows, hidden=hidden)
    reply = session.ask_as_proxy(f"/config/{cluster_id}")
    entries = _entries(reply)
    if entries is None:
        raise Failed(f"GET {API}/config/{cluster_id}", session, reply)
    # It shows the active rows of everybody, and the list may show but the user's own: so each is asked for.
    known = {row.id for row in rows}
    found: list[Row] = []
    for entry in entries:
        if len(found) == len(hidden):
            break
        if entry["id"] not in known and session.ask("GET", f"/services/{entry['id']}").status == 500:
            found.append(Row.of_config(entry, cluster_id))
    return Listing([*rows, *found], [row.id for row in found], hidden[len(found) :])
