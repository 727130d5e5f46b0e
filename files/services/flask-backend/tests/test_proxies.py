"""Whose word on the client's address is taken."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tripod_api.proxies import CONNECTED, FRONT, ClientAddress, Trust

TRUST = Trust.parse("172.18.0.0/16, !172.18.0.1, 2001:db8::/32, 10.0.0.5")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("172.18.0.9", [], "172.18.0.9"),
        ("172.18.0.9", ["198.51.100.1"], "198.51.100.1"),
        ("172.18.0.9", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("172.18.0.9", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("172.18.0.9", ["198.51.100.1, 10.0.0.5"], "198.51.100.1"),
        ("172.18.0.9", ["1.1.1.1, 198.51.100.1, 10.0.0.5 , 2001:db8::1"], "198.51.100.1"),
        ("172.18.0.9", ["10.0.0.5"], "10.0.0.5"),
        ("172.18.0.1", ["198.51.100.1"], "172.18.0.1"),
        ("172.18.0.9", ["198.51.100.1, 172.18.0.1"], "172.18.0.1"),
        ("172.18.0.9", ["198.51.100.1:443"], "198.51.100.1"),
        ("172.18.0.9", ["[2001:db9::1]:443"], "2001:db9::1"),
        ("172.18.0.9", ["2001:DB9:0::1"], "2001:db9::1"),
        ("172.18.0.9", ["fe80::1%eth0"], "fe80::1"),
        ("fe80::1%a,b", [], "fe80::1"),
        ("172.18.0.9", ["198.51.100.1, unknown"], "172.18.0.9"),
        ("172.18.0.9", [""], "172.18.0.9"),
        ("172.18.0.9", [",,,"], "172.18.0.9"),
        ("::ffff:172.18.0.9", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_read_from_the_right(peer: str, forwarded: list[str], client: str) -> None:
    assert TRUST.client(peer, forwarded) == client


@pytest.mark.parametrize(
    ("peer", "age", "connected"),
    [
        ("172.18.0.9", None, 1000),
        ("172.18.0.9", "12.5", 987.5),
        ("::ffff:172.18.0.9", "0", 1000),
        ("172.18.0.1", "12.5", 1000),
        ("192.0.2.1", "12.5", 1000),
        ("", "12.5", 1000),
        # Of no use to make a connection younger, or the service fail.
        *[("172.18.0.9", age, 1000) for age in ("-5", "nan", "inf", "-inf", "1e999", "", "x", "1, 2", "1" * 5000)],
    ],
)
def test_only_a_trusted_proxy_says_how_old_a_connection_is(peer: str, age: str | None, connected: float) -> None:
    assert TRUST.connected(peer, 1000.0, age) == connected


def test_the_front_is_known_by_its_secret_and_not_by_its_address() -> None:
    seen: list[tuple[str, float, bool]] = []

    def app(environ: dict[str, Any], _start: object) -> list[bytes]:
        seen.append((environ["REMOTE_ADDR"], time.time() - environ[CONNECTED], FRONT in environ))
        return []

    said = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "1.1.1.1, 198.51.100.1", "HTTP_X_CONNECTION_AGE": "60"}
    for secret in (None, "", "wrong", "päss", "right"):
        ClientAddress(app, TRUST, "right")({**said, **({} if secret is None else {FRONT: secret})}, None)
    ClientAddress(app, TRUST)({**said, FRONT: ""}, None)
    *others, front, without = seen
    assert [address for address, _, _ in (*others, without)] == ["192.0.2.1"] * 5
    assert max(age for _, age, _ in (*others, without)) < 30
    assert (front[0], front[1] > 59) == ("198.51.100.1", True)
    # Nobody behind it gets to see the secret, nor what somebody took for it.
    assert not any(shown for _, _, shown in seen)


@pytest.mark.parametrize("text", ["1", "8", "!", "nginx", "10.0.0.0/33", "10.0.0.1-9", "10.0.0.0/8,x"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Trust.parse(text)
