"""Netlink's framing, and what the kernel says when it refuses."""

from __future__ import annotations

import errno
import struct

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink_socket as nl


def refusal(number: int, *said: bytes) -> bytes:
    """An acknowledgement's body: the number, the header of the request, attributes."""
    return struct.pack("=i", -number) + b"\0" * 16 + b"".join(said)


def test_the_kernels_words_and_the_attribute_it_means_reach_the_error():
    words = nl.attribute(nl._ERROR_MESSAGE, b"veth: Peer MTU is too large to set XDP\0")
    where = nl.attribute(nl._ERROR_OFFSET, nl.u32(16 + 20))
    with pytest.raises(nl.NetlinkError) as raised:
        nl.raise_if_error(refusal(errno.ERANGE, words, where), 20, nl._ACK_TLVS)
    assert str(raised.value) == "veth: Peer MTU is too large to set XDP (ERANGE)"
    assert (raised.value.words, raised.value.offset) == ("veth: Peer MTU is too large to set XDP", 20)


def test_a_refusal_without_words_has_those_of_its_number():
    with pytest.raises(nl.NetlinkError, match=r"No such device \(ENODEV\)") as raised:
        nl.raise_if_error(refusal(errno.ENODEV), 20, 0)
    assert (raised.value.words, raised.value.offset) == ("", None)


@pytest.mark.parametrize("content", [refusal(0), b"", struct.pack("=i", 0)])
def test_success_raises_nothing(content):
    nl.raise_if_error(content, 20, 0)


def test_attributes_are_padded_and_read_back():
    data = nl.attribute(1, b"abc") + nl.nest(2, nl.attribute(3, nl.u32(7)))
    assert len(data) == 8 + 12
    assert list(nl.located_attributes(data)) == [(1, 0, b"abc"), (2, 8, nl.attribute(3, nl.u32(7)))]
    assert list(nl.located_attributes(b"\0\0\0\0" + data, 4)) == [
        (1, 4, b"abc"),
        (2, 12, nl.attribute(3, nl.u32(7))),
    ]


def test_an_attribute_shorter_than_its_header_ends_the_reading():
    assert list(nl.attributes(nl.attribute(1, b"x") + b"\2\0\5\0")) == [(1, b"x")]


@pytest.mark.parametrize(("raw", "value"), [(b"\5", 5), (nl.u32(1 << 31), 1 << 31), (b"", 0)])
def test_numbers_of_any_width(raw, value):
    assert nl.read_int(raw) == value


def test_the_kernel_knows_its_families():
    with nl.Socket(nl.GENERIC) as conversation:
        assert conversation.family("nlctrl") == 16
        assert conversation.family("tripod-none") is None
