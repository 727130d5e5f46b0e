"""The ethtool family's messages, on recorded answers of a real driver; the conversation is in tests/integration."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import ethtool_netlink as e
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink_socket as nl
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool_netlink import Count, Feature

RECORDED = json.loads((Path(__file__).parents[3] / "fixtures/ethtool/answers.json").read_text(encoding="utf-8"))


def recorded(driver: str, what: str) -> bytes:
    return bytes.fromhex(RECORDED[driver][what])


def answer(*attributes: bytes) -> bytes:
    return nl.generic(0, b"".join(attributes))


def test_rings_of_igb_and_vmxnet3():
    assert e.decode_counts(e.RINGS, recorded("igb", "rings")) == {"rx": Count(256, 4096), "tx": Count(256, 4096)}
    assert e.decode_counts(e.RINGS, recorded("vmxnet3", "rings")) == {
        "rx": Count(1024, 4096),
        "rx_jumbo": Count(512, 4096),
        "tx": Count(512, 4096),
    }
    assert e.decode_values(e.RINGS, recorded("igb", "rings")) == {"tx_push": False, "rx_push": False}


def test_channels_leave_out_what_the_driver_lacks():
    assert e.decode_counts(e.CHANNELS, recorded("igb", "channels")) == {
        "other": Count(1, 1),
        "combined": Count(4, 8),
    }


def test_coalescing_has_the_parameters_that_the_driver_has():
    assert e.decode_values(e.COALESCE, recorded("igb", "coalesce")) == {"rx_usecs": 3, "tx_usecs": 3}


def test_pause_and_private_flags():
    assert e.decode_values(e.PAUSE, recorded("igb", "pause")) == {"autoneg": True, "rx": True, "tx": True}
    assert e.decode_private_flags(recorded("igb", "private_flags")) == {"legacy-rx": False}


@pytest.mark.parametrize(
    ("driver", "name", "feature"),
    [
        ("igb", "rx-gro", Feature(True, True, True)),
        ("igb", "rx-all", Feature(False, False, True)),
        ("igb", "rx-lro", Feature(False, False, False)),
        ("igb", "highdma", Feature(True, False, False)),
        ("igb", "rx-ntuple-filter", Feature(False, False, False)),
        ("vmxnet3", "rx-lro", Feature(True, True, True)),
    ],
)
def test_features(driver, name, feature):
    assert e.decode_features(recorded(driver, "features"))[name] == feature


def test_every_feature_has_a_name():
    features = e.decode_features(recorded("igb", "features"))
    assert "" not in features
    assert len(features) > 50


def test_a_feature_that_never_changes_is_fixed_whatever_the_driver_says():
    bits = {"netns-local": True}
    nochange = e.encode_bits(e._FEATURES_NOCHANGE, bits)
    assert e.decode_features(answer(e.encode_bits(e._FEATURES_HW, bits), nochange)) == {
        "netns-local": Feature(False, False, False)
    }


def test_a_driver_without_any_is_not_supported_rather_than_zero():
    assert e.decode_counts(e.CHANNELS, answer()) is None
    assert e.decode_counts(e.RINGS, answer(nl.attribute(2, nl.u32(0)), nl.attribute(6, nl.u32(0)))) is None
    assert e.decode_values(e.COALESCE, answer()) is None
    assert e.decode_features(b"") == {}


@pytest.mark.parametrize(("raw", "values"), [(0, None), (1, {"tcp_data_split": False}), (2, {"tcp_data_split": True})])
def test_the_split_of_header_and_data_may_be_unknown(raw, values):
    assert e.decode_values(e.RINGS, answer(nl.attribute(11, nl.u8(raw)))) == values


@pytest.mark.parametrize(
    ("group", "values", "attributes"),
    [
        (e.RINGS, {"rx": 512, "tx": 256}, [(6, nl.u32(512)), (9, nl.u32(256))]),
        (e.RINGS, {"tcp_data_split": True, "tx_push": False}, [(11, b"\2"), (13, b"\0")]),
        (e.RINGS, {"tcp_data_split": False}, [(11, b"\1")]),
        (e.CHANNELS, {"combined": 4}, [(9, nl.u32(4))]),
        (e.COALESCE, {"rx_usecs": 10, "adaptive_rx": True}, [(2, nl.u32(10)), (11, b"\1")]),
        (e.PAUSE, {"autoneg": False}, [(2, b"\0")]),
    ],
)
def test_values_on_their_way_to_the_kernel(group, values, attributes):
    assert list(nl.attributes(e.encode_values(group, values))) == attributes


@pytest.mark.parametrize("group", [e.RINGS, e.CHANNELS, e.COALESCE, e.PAUSE])
def test_no_two_parameters_share_an_attribute(group):
    numbers = [parameter.number for parameter in group.parameters.values()]
    numbers += [parameter.maximum for parameter in group.parameters.values() if parameter.maximum]
    assert len(set(numbers)) == len(numbers)


def test_bits_survive_the_kernels_form():
    bits = {"rx-gro": True, "rx-lro": False}
    [(kind, value)] = nl.attributes(e.encode_bits(3, bits))
    assert kind == 3
    assert e.decode_bits(value) == bits


def test_a_bitset_without_a_mask_lists_what_is_set():
    bit = nl.nest(e._BITS_BIT, nl.attribute(e._BIT_NAME, nl.text("rx-gro")))
    bitset = nl.attribute(e._BITSET_NOMASK, b"") + nl.nest(e._BITSET_BITS, bit)
    assert e.decode_bits(bitset) == {"rx-gro": True}


def blame(offset: int | None) -> dict[str, int]:
    values = {"rx_usecs": 10, "tx_usecs": 20}
    request = nl.generic(20, nl.nest(1, nl.attribute(2, nl.text("ens1"))) + e.encode_values(e.COALESCE, values))
    return dict(e._blamed(request, nl.NetlinkError(errno.EINVAL, "", offset), e.COALESCE, values))


def test_the_parameter_that_the_kernel_points_at_is_blamed():
    header = 4 + 4 + 12  # generic netlink, the nest, the name
    assert blame(header) == {"rx_usecs": 10}
    assert blame(header + 8) == {"tx_usecs": 20}


@pytest.mark.parametrize("offset", [None, 4, 9999])
def test_otherwise_all_are(offset):
    assert blame(offset) == {"rx_usecs": 10, "tx_usecs": 20}
