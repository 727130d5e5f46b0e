"""Bans and their journal; the maps are dictionaries here, and real ones in the integration tests."""

from __future__ import annotations

import errno
import json
import time

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_bans
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_bans import JOURNAL, Bans
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_errors import Missing
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import boot_clock
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.ban_map import Entry, address, key

BOOT = "/proc/sys/kernel/random/boot_id"


class Table:
    def __init__(self, limit=1000):
        self.held, self.total, self.limit = {}, 0, limit

    def entries(self):
        return dict(self.held)

    def put(self, entries, total):
        if len(self.held) + sum(one not in self.held for one in entries) > self.limit:
            raise OSError(errno.ENOSPC, "no space", "bans")
        self.total = total
        self.held.update(entries)

    def remove(self, keys, total):
        for one in keys:
            self.held.pop(one, None)
        self.total = total

    def packets(self, key_):
        return 3 if key_ in self.held else 0

    @property
    def addresses(self):
        return sorted(map(address, self.held))


@pytest.fixture
def host(machine):
    return machine({BOOT: "first\n"})


@pytest.fixture
def tables():
    return {"ens1": Table(), "ens2": Table()}


@pytest.fixture
def bans(host, tables):
    return make(host, tables)


def make(host, tables, *trusted):
    return Bans(host, lambda: tables, lambda: [(parse_prefix(one), "edge") for one in trusted])


def ban(bans, text, seconds=600):
    return bans.ban(text, seconds, "api", "alice", "a scan")


def test_a_ban_is_in_every_map_until_it_is_ended(bans, tables):
    made = ban(bans, "203.0.113.9")
    assert (made.address, made.owner, made.by, made.comment) == ("203.0.113.9", "api", "alice", "a scan")
    for table in tables.values():
        assert table.held == {key("203.0.113.9"): Entry(int(made.until * 1e9), 2)}
        assert table.total == 1
    assert 599 < made.until - boot_clock() <= 600
    assert bans.unban("203.0.113.9") == "203.0.113.9"
    assert [(table.held, table.total) for table in tables.values()] == [({}, 0)] * 2
    with pytest.raises(Missing, match=r"203\.0\.113\.9 is not banned"):
        bans.unban("203.0.113.9")


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("203.0.113.9/32", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8::1/128", "2001:db8::1"),
    ],
)
def test_an_address_has_one_spelling(bans, text, one):
    assert ban(bans, text).address == one
    ban(bans, one)
    assert len(bans) == 1


@pytest.mark.parametrize(
    "text", ["", "example.org", "203.0.113.0/24", "2001:db8::/64", "203.0.113.256", "fe80::1%eth0"]
)
def test_what_is_no_single_address_is_invalid(bans, tables, text):
    with pytest.raises(Invalid, match="address"):
        ban(bans, text)
    assert tables["ens1"].held == {}


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("192.0.2.0/28", "192.0.2.15"),
        ("192.0.2.0/28", "::ffff:192.0.2.1"),
        ("2001:db8::/32", "2001:db8:1::1"),
        ("::ffff:192.0.2.0/124", "192.0.2.1"),
        ("0.0.0.0/0", "8.8.8.8"),
    ],
)
def test_a_trusted_address_is_refused_by_name(host, tables, prefix, text):
    bans = make(host, tables, "198.51.100.0/24", prefix)
    with pytest.raises(Refused, match=r"is in the trusted prefix \S+ of policy edge, which nothing overrides"):
        ban(bans, text)
    assert tables["ens1"].held == {}
    assert len(bans) == 0


def test_a_neighbour_of_what_is_trusted_is_not(host, tables):
    bans = make(host, tables, "192.0.2.0/28", "0.0.0.0/0")
    assert ban(bans, "2001:db8::1").address == "2001:db8::1"
    assert ban(make(host, tables, "192.0.2.0/28"), "192.0.2.16").address == "192.0.2.16"


def test_a_second_ban_replaces_the_first(bans, tables):
    ban(bans, "203.0.113.9", 600)
    made = ban(bans, "203.0.113.9", 1200)
    assert tables["ens1"].held[key("203.0.113.9")].until == int(made.until * 1e9)
    assert len(bans) == 1
    assert tables["ens1"].total == 1


def test_what_has_run_out_is_swept_and_what_replaced_it_is_not(bans, tables):
    ban(bans, "203.0.113.9", 0.01)
    ban(bans, "203.0.113.10", 0.01)
    ban(bans, "203.0.113.10", 600)
    bans.tend()
    time.sleep(0.02)
    bans.tend()
    assert tables["ens1"].addresses == ["203.0.113.10"]
    assert [table.total for table in tables.values()] == [1, 1]
    assert len(bans) == 1


def test_bans_outlive_the_process_and_the_boot(host, tables):
    ban(make(host, tables), "203.0.113.9", 600)
    ban(make(host, tables), "203.0.113.10", 0.01)
    bans = make(host, tables)
    bans.unban("203.0.113.9")
    made = ban(bans, "2001:db8::1", 600)
    time.sleep(0.02)
    again = make(host, tables)
    again.tend()
    assert [one["address"] for one in again.page(10)] == ["2001:db8::1"]
    assert again.page(10)[0]["until"] == made.until
    # A boot: new maps, another clock.
    host.write_atomically(BOOT, "second")
    new = {"ens1": Table()}
    booted = make(host, new)
    booted.tend()
    [one] = booted.page(10)
    assert abs(one["until"] - made.until) < 1
    assert new["ens1"].addresses == ["2001:db8::1"]


def test_a_wall_clock_that_is_wrong_at_boot_makes_no_ban_longer(host, tables, monkeypatch):
    ban(make(host, tables), "203.0.113.9", 600)
    host.write_atomically(BOOT, "second")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    [one] = make(host, tables).page(10)
    assert one["until"] - boot_clock() <= 600


def test_a_map_that_is_new_gets_all_and_one_that_is_stale_loses_what_is_over(host, tables):
    bans = make(host, tables)
    ban(bans, "203.0.113.9")
    bans.tend()
    tables["ens2"] = Table()
    tables["ens2"].put({key("192.0.2.1"): Entry(5, 1)}, 1)
    bans.tend()
    assert tables["ens2"].addresses == ["203.0.113.9"]
    assert tables["ens2"].total == 1


def test_a_journal_that_is_torn_loses_the_torn_line_only(host, tables):
    ban(make(host, tables), "203.0.113.9")
    with open(host.path(JOURNAL), "a", encoding="utf-8") as file:
        file.write('\n{"address": "203.0.113.10", "un')
    bans = make(host, tables)
    ban(bans, "203.0.113.11")
    assert [one["address"] for one in make(host, tables).page(10)] == ["203.0.113.9", "203.0.113.11"]


def test_a_journal_of_history_is_written_anew(host, tables):
    bans = make(host, tables)
    for _round in range(800):
        ban(bans, "203.0.113.9")
        bans.unban("203.0.113.9")
    ban(bans, "203.0.113.10")
    bans.tend()
    lines = [line for line in host.read(JOURNAL).splitlines() if line]
    assert [json.loads(line)["address"] for line in lines] == ["203.0.113.10"]
    ban(bans, "203.0.113.11")
    assert len(make(host, tables)) == 2
    assert host.path(JOURNAL).stat().st_mode & 0o777 == 0o600


def test_a_map_that_refuses_leaves_the_others_as_they_were(host, tables):
    tables["ens2"] = Table(limit=1)
    bans = make(host, tables)
    ban(bans, "203.0.113.9")
    with pytest.raises(Impossible, match=r"203\.0\.113\.10 cannot be banned: .*; nothing was changed"):
        ban(bans, "203.0.113.10")
    assert [table.addresses for table in tables.values()] == [["203.0.113.9"]] * 2
    assert len(bans) == len(make(host, tables)) == 1


def test_more_bans_than_there_may_be_are_refused_with_the_way_out(host, tables, monkeypatch):
    monkeypatch.setattr(policy_bans, "MAXIMUM", 2)
    bans = make(host, tables)
    ban(bans, "203.0.113.9", 60)
    ban(bans, "203.0.113.10")
    with pytest.raises(Refused, match=r"2 bans > 2, all that there may be; the next one ends in (59|60) s: end one"):
        ban(bans, "203.0.113.11")
    ban(bans, "203.0.113.10")  # one that is there can be made longer
    bans.unban("203.0.113.9")
    ban(bans, "203.0.113.11")


def test_a_ban_that_nothing_would_drop_is_impossible(host):
    with pytest.raises(Impossible, match="no interface has an XDP program of this release"):
        ban(make(host, {}), "203.0.113.9")


def test_pages_are_in_the_order_of_addresses(bans):
    for text in ("203.0.113.10", "2001:db8::1", "203.0.113.9", "::1"):
        ban(bans, text)
    first = bans.page(2)
    assert [one["address"] for one in first] == ["::1", "203.0.113.9"]
    assert [one["address"] for one in bans.page(9, first[-1]["address"])] == ["203.0.113.10", "2001:db8::1"]
    assert first[0]["packets"] == 6


def test_twenty_thousand_bans_are_found_again_in_time(host, tables):
    tables = {"ens1": Table(100_000)}
    bans = make(host, tables)
    for number in range(20_000):
        ban(bans, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    begun = time.process_time()
    again = make(host, tables)
    again.tend()
    assert len(again) == 20_000
    assert time.process_time() - begun < 5
