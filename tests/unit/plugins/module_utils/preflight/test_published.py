"""Plain HTTP is for the host itself, unless somebody said otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.published import CONSENT, PLAIN, refusals

DEFAULTS = yaml.safe_load((Path(__file__).parents[5] / "roles/common/defaults/main.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_the_host_itself_may_read_along(address):
    assert list(refusals(dict.fromkeys(PLAIN, address), False)) == []


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "host.example", ""])
def test_anybody_else_may_not_and_is_told_every_variable_and_both_ways_out(address):
    reasons = list(refusals(dict.fromkeys(PLAIN, address), False))
    assert [reason.partition(" is ")[0] for reason in reasons] == list(PLAIN)
    assert all("TLS front" in reason and f"{CONSENT}=true" in reason for reason in reasons)
    assert list(refusals(dict.fromkeys(PLAIN, address), True)) == []


def test_every_address_that_is_published_on_is_looked_at():
    published = [name for name in DEFAULTS if name.endswith(("_publish_address", "_http_address"))]
    assert sorted(published) == sorted(PLAIN)
    assert list(refusals({name: DEFAULTS[name] for name in published}, DEFAULTS[CONSENT])) == []
