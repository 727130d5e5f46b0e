"""Prefixes as an operator writes them and as the kernel holds them."""

from __future__ import annotations

import re

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import Prefix, parse_prefix


@pytest.mark.parametrize(
    ("text", "shown", "key"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", (8, b"\x0a\0\0\0")),
        ("0.0.0.0/0", "0.0.0.0/0", (0, b"\0\0\0\0")),
        ("192.0.2.1", "192.0.2.1/32", (32, b"\xc0\0\x02\x01")),
        ("2001:DB8:0:0::/32", "2001:db8::/32", (32, b"\x20\x01\x0d\xb8" + b"\0" * 12)),
        ("::1", "::1/128", (128, b"\0" * 15 + b"\x01")),
        ("::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120", (120, b"\0" * 10 + b"\xff\xff\xc0\0\x02\0")),
    ],
)
def test_text_and_key_round_trip(text, shown, key):
    prefix = parse_prefix(text)
    assert str(prefix) == shown
    assert parse_prefix(shown) == prefix
    length, address = key
    assert (prefix.length, prefix.address) == (length, address)
    assert Prefix.from_key(prefix.key) == prefix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1/33", "'10.0.0.1/33': prefix length 33 > 32, the limit of IPv4"),
        ("2001:db8::/129", "'2001:db8::/129': prefix length 129 > 128, the limit of IPv6"),
        (
            "10.0.0.1/24",
            "'10.0.0.1/24' has bits set behind its length: write 10.0.0.0/24 for the network, or /32 for the host",
        ),
        (
            "2001:db8::1/64",
            "'2001:db8::1/64' has bits set behind its length: write 2001:db8::/64 for the network, or /128 for "
            "the host",
        ),
        ("10.0.0.0/-1", "'10.0.0.0/-1': prefix length '-1' is not a number from 0 to 32"),
        ("10.0.0.0/", "'10.0.0.0/': prefix length '' is not a number from 0 to 32"),
        ("10.0.0.0/²", "'10.0.0.0/²': prefix length '²' is not a number from 0 to 32"),
        ("10.0.0/8", "'10.0.0/8': '10.0.0' is not an IPv4 or IPv6 address"),
        ("010.0.0.0/8", "'010.0.0.0/8': '010.0.0.0' is not an IPv4 or IPv6 address"),
        ("10.0.0.0\0/8", "'10.0.0.0\\x00/8': '10.0.0.0\\x00' is not an IPv4 or IPv6 address"),
        ("fe80::1%eth0", "'fe80::1%eth0': 'fe80::1%eth0' is not an IPv4 or IPv6 address"),
        ("::1é", "'::1é': '::1é' is not an IPv4 or IPv6 address"),
        ("host", "'host': 'host' is not an IPv4 or IPv6 address"),
        ("", "'': '' is not an IPv4 or IPv6 address"),
    ],
)
def test_what_is_no_prefix_says_why(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_prefix(text)
