"""Durations become times once; running again renews nothing."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_durations import resolve

NOW = 1_000_000.7


@pytest.mark.parametrize(
    ("words", "seconds"), [("30s", 30), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_a_duration_counts_from_the_first_request(words, seconds):
    request = {"lists": [{"name": "a", "expires": words}]}
    document, given = resolve(request, {}, NOW)
    assert document == {"lists": [{"name": "a", "expires": 1_000_000 + seconds}]}
    assert resolve(request, given, NOW + 10_000_000) == (document, given)


def test_another_duration_begins_anew_and_times_stay_as_they_are():
    _document, given = resolve({"lists": [{"name": "a", "expires": "1h"}]}, {}, NOW)
    document, _given = resolve({"lists": [{"name": "a", "expires": "2h"}]}, given, NOW + 60)
    assert document["lists"][0]["expires"] == 1_000_060 + 7200
    request = {
        "lists": [{"name": "a", "expires": 5}, {"name": "b", "expires": "2026-12-01T00:00:00Z"}],
        "default": "drop",
    }
    assert resolve(request, {}, NOW) == (request, {})


def test_entries_end_each_by_itself():
    entries = ["10.0.0.0/8", {"prefix": "192.0.2.0/24", "expires": "1m"}, {"prefix": "198.51.100.0/24"}]
    request = {"lists": [{"name": "a", "prefixes": entries}]}
    document, given = resolve(request, {}, NOW)
    assert document["lists"][0]["prefixes"] == [
        entries[0],
        {"prefix": "192.0.2.0/24", "expires": 1_000_060},
        entries[2],
    ]
    added = {"lists": [{"name": "a", "prefixes": [*entries, {"prefix": "::1", "expires": "1m"}]}]}
    ends = [one["expires"] for one in resolve(added, given, NOW + 30)[0]["lists"][0]["prefixes"] if "expires" in one]
    assert ends == [1_000_060, 1_000_090]
    assert request["lists"][0]["prefixes"] == entries, "the request itself was changed"
