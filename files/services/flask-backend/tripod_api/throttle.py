"""Slows down guessing: failed sign-ins are counted in the database, where all workers and the next start find them.

A count is one number, the moment at which it would be nothing again; each failure moves it on. Counts live in a fixed
number of places that a keyed hash chooses, so that no amount of names and addresses makes the table larger.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from dataclasses import dataclass
from datetime import timedelta

from pydal import DAL

from .database import now
from .dialects import upsert
from .errors import ApiError

PLACES = 1 << 16
KNOWN_CLIENTS = 16
KNOWN_FOR = timedelta(days=90)
NOBODY = 0


@dataclass(frozen=True)
class Limit:
    """So many failures at once, and from then on one in so many milliseconds."""

    kind: int
    burst: int
    every: int

    @property
    def longest(self) -> int:
        """How far ahead a count goes (milliseconds), whatever happens."""
        return self.burst * self.every


PER_ACCOUNT = Limit(kind=1, burst=10, every=30_000)
PER_ADDRESS = Limit(kind=2, burst=100, every=3_000)


@dataclass(frozen=True)
class Attempt:
    """Somebody at an address who wants to be an account.

    Attributes:
        known: Whether the account was signed in to from there before. Such a one is never turned away, or whoever
            guesses could lock out those who know.
        crowded: Whether there were too many failures, so that one more costs the caller time.
    """

    account: str
    address: str
    known: bool = False
    crowded: bool = False


class Throttle:
    """Failed sign-ins of late, by account and by client address.

    Args:
        secret: Key of the hashes, which nobody outside can compute.
    """

    def __init__(self, secret: str) -> None:
        self._secret = hmac.digest(secret.encode(), b"throttle", "sha256")

    def admit(self, db: DAL, address: str, account: str, user_id: int | None) -> Attempt:
        """Return the attempt, or raise a 429 where too many failed and the address is not known for this account."""
        wait = max(
            self._wait(db, PER_ACCOUNT, account),
            self._wait(db, PER_ADDRESS, network(address)),
        )
        # Asked for nobody, too: how long it takes must not tell whether there is an account.
        known = self._knows(db, NOBODY if user_id is None else user_id, address)
        if wait and not known:
            seconds = -(-wait // 1000)
            raise ApiError(
                429,
                "too_many_attempts",
                f"Too many failed sign-ins; try again in {seconds} seconds.",
                Retry_After=str(seconds),
            )
        return Attempt(account, address, known, crowded=bool(wait))

    def failed(self, db: DAL, attempt: Attempt) -> None:
        """Count a failed sign-in."""
        for limit, value in ((PER_ACCOUNT, attempt.account), (PER_ADDRESS, network(attempt.address))):
            moment, place = _milliseconds(), self._place(limit, value)
            next_one = f"CASE WHEN failed_logins.until > {moment} THEN failed_logins.until ELSE {moment} END"
            most = moment + limit.longest
            later = f"{next_one} + {limit.every}"
            # Whole numbers of our own making, so there is nothing to quote.
            upsert(
                db,
                "failed_logins",
                {"kind": str(limit.kind), "place": str(place), "until": str(moment + limit.every)},
                key=("kind", "place"),
                update={"until": f"CASE WHEN {later} > {most} THEN {most} ELSE {later} END"},
            )

    def succeeded(self, db: DAL, user_id: int, address: str) -> None:
        """Remember where an account was signed in to from; the latest few places."""
        clients = db.known_clients
        # Two sign-ins at once from a new place must not be a conflict for one of them.
        client, seen_at = f"'{self._digest('client', network(address))}'", f"'{now()}'"
        upsert(
            db,
            "known_clients",
            {"user_id": str(int(user_id)), "client": client, "seen_at": seen_at},
            key=("user_id", "client"),
            update={"seen_at": seen_at},
        )
        mine = db(clients.user_id == user_id).select(clients.id, orderby=~clients.seen_at)
        stale = [row.id for row in mine][KNOWN_CLIENTS:]
        if stale:
            db(clients.id.belongs(stale)).delete()

    def forget(self, db: DAL, account: str) -> None:
        """Start anew for an account."""
        place = self._place(PER_ACCOUNT, account)
        db.executesql(f"DELETE FROM failed_logins WHERE kind = {PER_ACCOUNT.kind} AND place = {place}")  # noqa: S608

    def _wait(self, db: DAL, limit: Limit, value: str) -> int:
        """Return the milliseconds until another failure is allowed."""
        place = self._place(limit, value)
        rows = db.executesql(f"SELECT until FROM failed_logins WHERE kind = {limit.kind} AND place = {place}")  # noqa: S608
        # A clock that was set back must not make the wait longer.
        ahead = min(rows[0][0] - _milliseconds(), limit.longest) if rows else 0
        return max(0, ahead - (limit.burst - 1) * limit.every)

    def _knows(self, db: DAL, user_id: int, address: str) -> bool:
        clients = db.known_clients
        here = (clients.user_id == user_id) & (clients.client == self._digest("client", network(address)))
        return bool(db(here & (clients.seen_at > now() - KNOWN_FOR)).count())

    def _place(self, limit: Limit, value: str) -> int:
        return int(self._digest(str(limit.kind), value)[:8], 16) % PLACES

    def _digest(self, kind: str, value: str) -> str:
        return hmac.new(self._secret, f"{kind} {value}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def network(address: str) -> str:
    """Return what one client is: an IPv4 address, or the network that an IPv6 client can take any address of."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
