"""Samples of drops that go-backends handed on: the newest of each host are kept, with what packets say and not they."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any

from pydal import DAL

from .database import Database
from .gen import callbacks_pb2 as pb
from .schemas import DropPage

# Of each host; the oldest go.
KEPT = 10_000
# Of one call, and what may be lost of it: the database's BIGINT.
AT_ONCE = 500
MOST_LOST = (1 << 63) - 1
# Within so many seconds, as the caller waits for the answer.
SECONDS = 2.0
# Of texts, by the columns.
LENGTHS = {
    **{"interface": 16, "verdict": 32, "reason": 32, "part": 100},
    **{"would": 32, "would_reason": 32, "would_part": 100},
}
# The largest numbers that headers have.
NUMBERS = {"protocol": 255, "source_port": 65535, "destination_port": 65535, "vlan": 4095}
V4 = "0.0.0.0/0"
OPTIONAL = ("part", "would", "would_reason", "would_part")
TOLD = (
    *("interface", "queue", "verdict", "reason", *OPTIONAL, "length"),
    *("source", "destination", *NUMBERS, "lost"),
)


class Malformed(ValueError):
    """What is told of a packet is not of the form."""


def keep(database: Database, host: str, told: pb.DroppedRequest) -> None:
    """Write packets down, and let go of the oldest ones.

    Args:
        database: Where.
        host: Whose they are.
        told: They.

    Raises:
        Malformed: One of them is not of the form, and none was written.
        DatabaseUnavailable: The database did not take them in time.
    """
    if len(told.packets) > AT_ONCE or told.lost > MOST_LOST:
        raise Malformed(f"one call is for {AT_ONCE} packets at most")
    rows = [_row(host, packet) for packet in told.packets]
    if not rows:
        return
    rows[0]["lost"] = told.lost
    with database.transaction(seconds=SECONDS) as db:
        db.drops.bulk_insert(rows)
        _trim(db, host)


def _trim(db: DAL, host: str) -> None:
    last = db(db.drops.host == host).select(db.drops.id, orderby=~db.drops.id, limitby=(KEPT, KEPT + 1)).first()
    if last is not None:
        db((db.drops.host == host) & (db.drops.id <= last.id)).delete()


def page(database: Database, host: str, window: DropPage) -> tuple[list[dict[str, Any]], int | None]:
    """Return packets of a host, the newest first, and what to go on before; None at the end."""
    with database.transaction() as db:
        table = db.drops
        wanted = table.host == host
        if window.before:
            wanted &= table.id < window.before
        if window.since is not None:
            wanted &= table.moment >= _microseconds(window.since)
        if window.until is not None:
            wanted &= table.moment < _microseconds(window.until)
        if window.source:
            first, last = _range(window.source)
            wanted &= (table.source_key >= first) & (table.source_key <= last)
            if ":" in window.source:
                first, last = _range(V4)
                wanted &= (table.source_key < first) | (table.source_key > last)
        rows = list(db(wanted).select(orderby=~table.id, limitby=(0, window.limit + 1)))
        found = [_told(row) for row in rows[: window.limit]]
    return found, found[-1]["id"] if len(rows) > window.limit else None


def _row(host: str, packet: pb.DroppedPacket) -> dict[str, Any]:
    texts = {name: getattr(packet, name) for name in LENGTHS}
    numbers = {name: getattr(packet, name) if packet.HasField(name) else None for name in NUMBERS}
    for name, text in texts.items():
        if len(text) > LENGTHS[name] or not text.isprintable() or (name not in OPTIONAL and not text):
            raise Malformed(f"{name} is no text of up to {LENGTHS[name]} printable characters")
    for name, number in numbers.items():
        if number is not None and number > NUMBERS[name]:
            raise Malformed(f"{name} is {number}, and {NUMBERS[name]} is the largest")
    moment = packet.time.ToMicroseconds()
    if not 0 < moment < 1 << 52:
        raise Malformed("time is not set, or of another age")
    source = _address(packet.source) if packet.HasField("source") else None
    destination = _address(packet.destination) if packet.HasField("destination") else None
    return {
        "host": host,
        "moment": moment,
        **{name: text or None for name, text in texts.items()},
        **numbers,
        "queue": packet.queue,
        "length": packet.length,
        "source": str(source) if source else None,
        "source_key": _key(source) if source else None,
        "destination": str(destination) if destination else None,
        "lost": 0,
    }


def _address(raw: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(raw)
    except ValueError:
        raise Malformed("an address has neither 4 nor 16 bytes") from None


def _key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return digits in whose order addresses are: of IPv4 those of ::ffff:0:0/96, from where no packet comes."""
    number = int(address) if address.version == 6 else 0xFFFF << 32 | int(address)
    return f"{number:032x}"


def _range(prefix: str) -> tuple[str, str]:
    network = ipaddress.ip_network(prefix, strict=False)
    return _key(network.network_address), _key(network.broadcast_address)


def _microseconds(moment: datetime) -> int:
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + moment.microsecond


def _told(row: Any) -> dict[str, Any]:
    seconds, rest = divmod(row.moment, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    told = {name: row[name] for name in TOLD}
    return {"id": row.id, "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"), **told}
