"""What the watch makes of the kernel's messages."""

from __future__ import annotations

import socket
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.links import Links, News, parse

NEWLINK, DELLINK = 16, 17
UP, LOWER_UP = 1, 1 << 16


def message(kind: int, index: int, name: str, flags: int = 0, family: int = socket.AF_UNSPEC) -> bytes:
    """One message as rtnetlink(7) lays it out: header, ifinfomsg, attributes (MTU before the name)."""
    text = name.encode() + b"\0"
    attributes = struct.pack("=HHI", 8, 4, 1500) + struct.pack("=HH", 4 + len(text), 3) + text
    body = struct.pack("=BxHiII", family, 1, index, flags, 0) + attributes
    body += b"\0" * (-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_a_datagram_can_hold_several_messages():
    datagram = message(NEWLINK, 4, "ens1", UP | LOWER_UP) + message(DELLINK, 5, "veth1a2b3c4")
    assert list(parse(datagram)) == [
        News(4, "ens1", up=True, carrier=True),
        News(5, "veth1a2b3c4", gone=True),
    ]


def test_a_port_that_leaves_its_bridge_is_not_a_link_that_goes():
    assert list(parse(message(DELLINK, 4, "ens1", UP, socket.AF_BRIDGE))) == []


def test_other_messages_are_passed_over():
    assert list(parse(message(20, 4, "ens1") + message(NEWLINK, 4, "ens1"))) == [News(4, "ens1")]


@pytest.mark.parametrize(
    ("summary", "reasons"),
    [
        ([News(4, "ens1")], ["appeared"]),
        ([News(4, "ens1"), News(4, "ens1", up=True)], ["appeared", None]),
        ([News(4, "ens1"), News(4, "ens1", True), News(4, "ens1", True, True)], ["appeared", None, "came up"]),
        ([News(4, "ens1", True, True), News(4, "ens1", True, True)], ["appeared", None]),
        # The ring change of a driver: the layer below goes and comes back, the administrator's wish stays.
        (
            [News(4, "ens1", True, True), News(4, "ens1", True), News(4, "ens1", True, True)],
            ["appeared", None, "came up"],
        ),
        ([News(4, "eth0"), News(4, "ens1")], ["appeared", "was renamed from eth0"]),
        # A driver that is loaded again.
        ([News(4, "ens1", True, True), News(4, "ens1", gone=True), News(9, "ens1")], ["appeared", None, "appeared"]),
    ],
)
def test_reasons_to_look_at_a_link(summary, reasons):
    links = Links()
    assert [links.observe(news) for news in summary] == reasons


def test_links_that_are_gone_are_forgotten():
    links = Links()
    for news in (News(4, "ens1"), News(5, "veth1"), News(5, "veth1", gone=True)):
        links.observe(news)
    assert links.names == {"ens1"}
