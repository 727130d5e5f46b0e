"""Settings as a whole; what travels is in test__ethtool_netlink and test__rxnfc."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import (
    Count,
    Feature,
    FlowRule,
    FlowRules,
    Rss,
    Settings,
    _text,
    describe,
    read_settings,
)


@pytest.mark.parametrize(
    ("raw", "text"), [(b"igb\0\0junk", "igb"), (b"N/A\0", None), (b"\0\0", None), (b" 1.2 \0", "1.2")]
)
def test_texts_end_at_their_zero(raw, text):
    assert _text(raw) == text


EVERYTHING = Settings(
    driver="igb",
    version="6.12",
    bus="0000:81:00.0",
    rings={"rx": Count(256, 4096)},
    ring_options={"tx_push": False, "rx_buf_len": 2048},
    channels={"combined": Count(4, 8), "other": Count(1, 1)},
    coalesce={"rx_usecs": 3, "adaptive_rx": True},
    features={"rx-gro": Feature(True, True, True)},
    pause={"autoneg": True, "rx": False, "tx": False},
    private_flags={"legacy-rx": False},
    rss=Rss((0, 1, 2, 3), b"\x6d\x5a", "toeplitz", ("toeplitz", "xor"), 4),
    hash_fields={"udp4": "sd"},
    flow_rules=FlowRules(16, (FlowRule("ether", {"ethertype": "0x0800"}, 1, 0, 3),), True),
)


@pytest.mark.parametrize("settings", [EVERYTHING, Settings()])
def test_settings_survive_json(settings):
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_what_json_leaves_out_is_not_supported():
    assert Settings.from_json({"rss": {"rings": 2}, "flow_rules": {"capacity": 8}}) == Settings(
        rss=Rss(rings=2), flow_rules=FlowRules(8)
    )


def test_an_interface_that_is_not_there():
    assert describe("tripod-none") == Settings()
    with pytest.raises(Impossible, match=r"tripod-none: .*No such device \(ENODEV\)"):
        read_settings("tripod-none")


def test_the_loopback_has_features_and_nothing_else():
    settings = read_settings("lo")
    assert not settings.features["loopback"].changeable
    assert "" not in settings.features
    assert settings.features["loopback"].active
    assert settings == Settings(features=settings.features)
