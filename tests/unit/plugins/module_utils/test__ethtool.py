"""Decoding what drivers answer; the ioctl itself is in tests/integration."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._ethtool import Count, Nic, _counts, _text, describe


def test_what_the_hardware_lacks_is_left_out():
    # ETHTOOL_GCHANNELS: command, four maxima, four current values.
    answer = (0x3C, 0, 0, 1, 8, 0, 0, 1, 4)
    assert _counts(("rx", "tx", "other", "combined"), answer) == {"other": Count(1, 1), "combined": Count(4, 8)}


@pytest.mark.parametrize("answer", [None, (0x10, 0, 0, 0, 0, 0, 0, 0, 0)])
def test_a_driver_without_any_is_not_supported_rather_than_zero(answer):
    assert _counts(("rx", "rx_mini", "rx_jumbo", "tx"), answer) is None


@pytest.mark.parametrize(
    ("raw", "text"), [(b"igb\0\0junk", "igb"), (b"N/A\0", None), (b"\0\0", None), (b" 1.2 \0", "1.2")]
)
def test_texts_end_at_their_zero(raw, text):
    assert _text(raw) == text


def test_an_interface_that_is_not_there_says_nothing():
    assert describe("tripod-none") == Nic()
