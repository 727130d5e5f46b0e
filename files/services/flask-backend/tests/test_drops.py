"""Samples that go-backends hand on: what is kept of them, for how long, and how they are found again."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Caller, enrol, sign_in
from flask import Flask
from servers import Cluster
from test_away import frozen

from tripod_api import drops
from tripod_api.config import Database
from tripod_api.context import EXTENSION, Services
from tripod_api.database import AWAY_SECONDS, DatabaseUnavailable
from tripod_api.gen import callbacks_pb2 as pb

HOST = "go-backend"  # of the one that there is
NOON = 1_767_268_800  # 2026-01-01T12:00:00Z


def packet(source: str | None = "192.0.2.1", at: float = NOON, **more: Any) -> pb.DroppedPacket:
    told = pb.DroppedPacket(
        interface="ens1", queue=3, verdict="drop", reason="rule_drop", part="rule:no-snmp", length=60
    )
    told.time.FromMicroseconds(round(at * 1_000_000))
    if source:
        told.source = ipaddress.ip_address(source).packed
        told.destination = ipaddress.ip_address("198.51.100.1").packed
        told.protocol, told.source_port, told.destination_port = 17, 1024, 161
    for name, value in more.items():
        setattr(told, name, value)
    return told


def keep(app: Flask, *packets: pb.DroppedPacket, host: str = HOST, lost: int = 0) -> None:
    services: Services = app.extensions[EXTENSION]
    drops.keep(services.database, host, pb.DroppedRequest(packets=packets, lost=lost))


def asked(admin: Caller, query: str = "") -> list[dict[str, Any]]:
    answer = admin("GET", f"/drops/history?{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["drops"]
    return found


def test_what_is_kept_is_told_as_it_came(app: Flask, admin: Caller) -> None:
    keep(app, packet(at=NOON + 0.123456, vlan=7), packet(None, verdict="pass", part="", would="drop"), lost=12)
    last, first = asked(admin)
    assert {name: value for name, value in first.items() if name != "id"} == {
        **{"time": "2026-01-01T12:00:00.123456Z", "interface": "ens1", "queue": 3, "verdict": "drop"},
        **{"reason": "rule_drop", "part": "rule:no-snmp", "would": None, "would_reason": None, "would_part": None},
        **{"length": 60, "source": "192.0.2.1", "destination": "198.51.100.1", "protocol": 17, "source_port": 1024},
        **{"destination_port": 161, "vlan": 7, "lost": 12},
    }
    assert (last["verdict"], last["would"], last["part"], last["lost"]) == ("pass", "drop", None, 0)
    assert {last[name] for name in ("source", "destination", "protocol", "source_port", "vlan")} == {None}


def test_the_newest_of_each_host_are_kept(app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drops, "KEPT", 20)
    keep(app, packet(), host="another")
    for number in range(5):
        keep(app, *(packet(length=100 * number + place) for place in range(7)))
    assert [one["length"] for one in asked(admin)] == [
        100 * number + place for number in (4, 3, 2, 1, 0) for place in range(6, -1, -1)
    ][:20]
    services: Services = app.extensions[EXTENSION]
    with services.database.transaction() as db:
        assert db(db.drops.host == "another").count() == 1
        assert db(db.drops).count() == 21


def test_pages_follow_each_other_without_a_gap(app: Flask, admin: Caller) -> None:
    keep(app, *(packet(length=number) for number in range(25)))
    found, following = [], 0
    while following is not None:
        answer = admin("GET", f"/drops/history?limit=10&before={following}").json
        found += [one["length"] for one in answer["drops"]]
        following = answer["next"]
        # What comes meanwhile is on none of the pages to come.
        keep(app, packet(length=1000))
    assert found == list(range(24, -1, -1))


@pytest.mark.parametrize(
    ("query", "sources"),
    [
        ("source=192.0.2.0/24", ["192.0.2.1", "192.0.2.254"]),
        ("source=192.0.2.254", ["192.0.2.254"]),
        ("source=0.0.0.0/0", ["192.0.2.1", "192.0.2.254", "203.0.113.9"]),
        ("source=2001:db8::/32", ["2001:db8::a", "2001:db8:ffff::1"]),
        ("source=::/0", ["2001:db8::a", "2001:db8:ffff::1"]),
        ("source=2001:db8::7/112", ["2001:db8::a"]),
        ("since=2026-01-01T12:00:02Z", ["203.0.113.9", "2001:db8::a", "2001:db8:ffff::1", None]),
        ("since=2026-01-01T13:00:01%2B01:00&until=2026-01-01T12:00:02Z", ["192.0.2.254"]),
        ("until=2026-01-01T12:00:02Z&source=192.0.2.1", ["192.0.2.1"]),
        ("since=2027-01-01T00:00:00Z", []),
    ],
)
def test_they_are_found_by_time_and_source(app: Flask, admin: Caller, query: str, sources: list[str | None]) -> None:
    every = ["192.0.2.1", "192.0.2.254", "203.0.113.9", "2001:db8::a", "2001:db8:ffff::1", None]
    keep(app, *(packet(source, at=NOON + place) for place, source in enumerate(every)))
    assert [one["source"] for one in asked(admin, query)][::-1] == sources


class TestOfAnyDatabase:
    @pytest.fixture
    def address(self, sqlite: Database) -> Database:
        return sqlite

    @pytest.mark.parametrize(
        "query",
        ["source=192.0.2", "source=host", "since=yesterday", "since=2026-01-01T00:00:00", "limit=0", "before=x"],
    )
    def test_what_is_no_question_is_refused(self, admin: Caller, query: str) -> None:
        assert admin("GET", f"/drops/history?{query}").status_code == 422

    def test_a_viewer_sees_none(self, app: Flask, admin: Caller) -> None:
        viewer = sign_in(app, enrol(admin, "viewer")["email"])
        assert viewer("GET", "/drops/history").status_code == 403

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"interface": ""}, "interface is no text"),
            ({"reason": "x" * 33}, "reason is no text of up to 32"),
            ({"part": "a\nb"}, "part is no text"),
            ({"vlan": 4096}, "vlan is 4096"),
            ({"protocol": 256}, "protocol is 256"),
            ({"destination": b"abc"}, "neither 4 nor 16 bytes"),
            ({"at": 0}, "time is not set"),
            ({"at": 1 << 33}, "of another age"),
        ],
    )
    def test_what_is_not_of_the_form_is_not_kept(
        self, app: Flask, admin: Caller, wrong: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(drops.Malformed, match=words):
            keep(app, packet(), packet(**wrong))
        assert asked(admin) == []

    def test_one_call_is_for_so_many(self, app: Flask, admin: Caller) -> None:
        keep(app, *[packet()] * drops.AT_ONCE)
        assert len(asked(admin, "limit=1000")) == drops.AT_ONCE
        with pytest.raises(drops.Malformed, match="500 packets at most"):
            keep(app, *[packet()] * (drops.AT_ONCE + 1))


class TestOfAServer:
    @pytest.fixture
    def ours(self, own_cluster: Cluster) -> Cluster:
        return own_cluster

    @pytest.fixture
    def address(self, ours: Cluster) -> Iterator[Database]:
        found = ours.create_database()
        yield found
        ours.drop_database(found)

    def test_one_that_is_frozen_holds_nobody_up_and_gets_what_comes_later(
        self, app: Flask, admin: Caller, ours: Cluster
    ) -> None:
        keep(app, packet(length=1))
        with frozen(ours):
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                keep(app, packet(length=2))
            # With what the machine takes beside it.
            assert time.monotonic() - began < 2 * drops.SECONDS
            with pytest.raises(DatabaseUnavailable):
                keep(app, packet(length=3))
        time.sleep(AWAY_SECONDS)
        keep(app, packet(length=4))
        assert [one["length"] for one in asked(admin)] == [4, 1]
