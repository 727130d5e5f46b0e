"""NIC settings on real drivers, each value beside what ethtool(8) says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.vm.hardware import NICS

PLUGINS = Path(__file__).parents[2] / "plugins"
ARCHIVE = "/run/tripod-test-ethtool.zip"
# Runs in the guest, where a connection costs seconds: each test makes its changes and both readings in one.
PRELUDE = r"""
import json, re, subprocess
from module_utils._linux import ethtool as e, netlink as n
from module_utils._core.converge import ApplyFailed

def refusal(change, *arguments):
    try:
        change(*arguments)
    except ApplyFailed as error:
        return str(error)

def text(*words):
    return subprocess.run(["ethtool", *words], capture_output=True, text=True).stdout

def shown(option, name):
    said = text("--json", option, name)  # nothing, or an empty list, for what the driver lacks
    return (json.loads(said or "[]") or [{}])[0]

def channels(name):
    most, now = (
        {word.lower(): int(count) for word, count in re.findall(r"(\w+):\s+(\d+)", part)}
        for part in text("-l", name).split("Current hardware settings:")
    )
    return {word: {"current": now[word], "maximum": most[word]} for word in now}

def flags(name):
    listed = re.findall(r"^([\w-]+)\s*: (on|off)$", text("--show-priv-flags", name), re.MULTILINE)
    return {flag: state == "on" for flag, state in listed}

def read(name):
    return e.read_settings(name).to_json()
"""
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(host, vm, tmp_path_factory) -> Iterator[Ask]:
    """Evaluate an expression in the guest, after any statements, with the collection's code."""
    archive = shutil.make_archive(str(tmp_path_factory.mktemp("guest") / "utils"), "zip", PLUGINS, "module_utils")
    assert vm.copy(archive, f":{ARCHIVE}") == 0

    def evaluate(expression: str, *statements: str) -> Any:
        code = "\n".join((PRELUDE, *statements, f"print(json.dumps({expression}))"))
        return json.loads(host.check_output("PYTHONPATH=%s python3 -c %s", ARCHIVE, code))

    yield evaluate
    host.check_output("rm %s", ARCHIVE)


@pytest.fixture(scope="module")
def names(ask) -> Iterator[dict[str, str]]:
    """The data NICs by driver; up, since drivers know their RSS only then, and as they were found at the end."""
    macs = {nic.mac for nic in NICS}
    links = ask("[[one.name, one.mac, one.up, one.index, e.describe(one.name).driver] for one in n.links()]")
    ours = [(name, up, index, driver) for name, mac, up, index, driver in links if mac in macs]
    ask("None", *(f"n.set_link({index}, up=True)" for _name, _up, index, _driver in ours))
    yield {driver: name for name, _up, _index, driver in ours}
    ask("None", *(f"n.set_link({index}, up={up})" for _name, up, index, _driver in ours))


@pytest.fixture
def igb(ask, names) -> Iterator[str]:
    """The igb, restored afterwards."""
    name = names["igb"]
    before = ask(f"read({name!r})")
    yield name
    current = {kind: {key: count["current"] for key, count in before[kind].items()} for kind in ("rings", "channels")}
    ask(
        "None",
        f"e.set_rss({name!r}, 'default')",
        f"e.set_private_flags({name!r}, {before['private_flags']})",
        f"e.set_channels({name!r}, {current['channels']})",
        f"e.set_rings({name!r}, {current['rings']})",
        f"e.set_coalesce({name!r}, {{'rx_usecs': {before['coalesce']['rx_usecs']}}})",
        f"e.set_hash_fields({name!r}, 'udp4', {before['hash_fields']['udp4']!r})",
        f"e.set_features({name!r}, {{'rx-all': {before['features']['rx-all']['active']}}})",
    )


def by_underscores(values: dict[str, Any]) -> dict[str, Any]:
    """Return ethtool's JSON by our words."""
    ours = {"rx_frame_low": "rx_frames_low", "autonegotiate": "autoneg"}
    spelled = {key.replace("-", "_"): value for key, value in values.items() if key != "ifname"}
    return {ours.get(key, key): value for key, value in spelled.items()}


@pytest.mark.parametrize("driver", ["igb", "vmxnet3", "virtio_net"])
def test_every_value_is_as_ethtool_shows_it(ask, names, driver):
    name = names[driver]
    settings, said = ask(
        f"[read({name!r}), {{**{{option: shown(option, {name!r}) for option in ('-g', '-c', '-a', '-x', '-k')}}, "
        f"'channels': channels({name!r}), 'flags': flags({name!r})}}]"
    )
    rings = {key: count["current"] for key, count in settings["rings"].items()}
    maxima = {f"{key}_max": count["maximum"] for key, count in settings["rings"].items()}
    assert {**rings, **maxima, **settings["ring_options"]} == by_underscores(said["-g"])
    assert settings["channels"] == said["channels"]
    assert (settings["coalesce"] or {}) == by_underscores(said["-c"])
    assert (settings["pause"] or {}) == by_underscores(said["-a"])
    assert (settings["private_flags"] or {}) == said["flags"]
    if settings["rss"]:
        assert settings["rss"]["table"] == said["-x"]["rss-indirection-table"]
        assert settings["rss"]["function"] == said["-x"]["rss-hash-function"]
    else:
        assert not said["-x"].get("rss-indirection-table")
    features = {key: feature for key, feature in settings["features"].items() if key in said["-k"]}
    assert len(features) > 30
    assert {key: (feature["active"], not feature["changeable"]) for key, feature in features.items()} == {
        key: (said["-k"][key]["active"], said["-k"][key]["fixed"]) for key in features
    }


def test_rings_channels_and_coalescing_of_igb(ask, igb):
    rings, channels, coalesce = ask(
        f"[shown('-g', {igb!r}), channels({igb!r}), shown('-c', {igb!r})]",
        f"e.set_rings({igb!r}, {{'rx': 512, 'tx': 1024}})",
        f"e.set_channels({igb!r}, {{'combined': 2}})",
        f"e.set_coalesce({igb!r}, {{'rx_usecs': 10}})",
    )
    assert (rings["rx"], rings["tx"]) == (512, 1024)
    assert channels["combined"] == {"current": 2, "maximum": 8}
    assert coalesce["rx-usecs"] == 10


def test_features_and_private_flags_of_igb(ask, igb):
    features, flags = ask(
        f"[shown('-k', {igb!r}), flags({igb!r})]",
        f"e.set_features({igb!r}, {{'rx-all': True}})",
        f"e.set_private_flags({igb!r}, {{'legacy-rx': True}})",
    )
    assert features["rx-all"]["active"]
    assert flags == {"legacy-rx": True}


def test_rss_of_igb(ask, igb):
    table, fields, default, rings = ask(
        f"[table, fields, shown('-x', {igb!r})['rss-indirection-table'], rss.rings]",
        f"rss = e.read_settings({igb!r}).rss",
        f"e.set_rss({igb!r}, [bucket % 2 for bucket in range(len(rss.table))])",
        f"e.set_hash_fields({igb!r}, 'udp4', 'sdfn')",
        f"table = shown('-x', {igb!r})['rss-indirection-table']",
        f"fields = text('-n', {igb!r}, 'rx-flow-hash', 'udp4')",
        f"e.set_rss({igb!r}, 'default')",
    )
    assert table == [bucket % 2 for bucket in range(128)]
    assert default == [bucket % rings for bucket in range(128)]
    assert "dst port" in fields


REFUSALS = {
    "e.set_rings, {name!r}, {{'rx': 100000}}": "ring rx 100000: requested ring size exceeds maximum (EINVAL)",
    "e.set_rings, {name!r}, {{'rx': 512, 'tx_push': True}}": (
        "ring tx_push on: setting tx push not supported (EOPNOTSUPP)"
    ),
    "e.set_channels, {name!r}, {{'combined': 9}}": (
        "channels combined 9: requested channel count exceeds maximum (EINVAL)"
    ),
    "e.set_coalesce, {name!r}, {{'rx_usecs': 10, 'rx_frames': 5}}": (
        "coalesce rx_frames 5: cannot modify an unsupported parameter (EINVAL)"
    ),
    "e.set_features, {name!r}, {{'rx-ntuple-filter': True}}": "feature rx-ntuple-filter stays off: the driver does not",
    "e.set_private_flags, {name!r}, {{'nope': True}}": "private flag nope on: bit name not found (EOPNOTSUPP)",
    "e.set_rss, {name!r}, [9] * 128": "RSS table of 128 entries up to queue 9: Invalid argument (EINVAL)",
    "e.insert_flow_rule, {name!r}, e.FlowRule('udp4', {{'dst_port': '4791'}}, 1, 0, 3)": (
        "flow rule udp4 dst_port 4791 -> queue 1 at 3: Operation not supported (EOPNOTSUPP): the driver has no such "
        "rules, or its feature rx-ntuple-filter is off"
    ),
}


def test_igb_refuses_in_words_and_nothing_changes(ask, igb):
    said, before, after = ask(
        f"[said, before, read({igb!r})]",
        f"before = read({igb!r})",
        f"said = [{', '.join(f'refusal({change.format(name=igb)})' for change in REFUSALS)}]",
    )
    starts = [f"{igb}: {words}" for words in REFUSALS.values()]
    assert [answer[: len(start)] for answer, start in zip(said, starts, strict=True)] == starts
    assert before == after


def test_mtu_and_queue_length_of_igb(ask, host, igb):
    # With a program attached, igb takes no larger MTU than fits the receive buffers that it has at the time.
    index = ask(f"n.link({igb!r}).index", f"n.set_link(n.link({igb!r}).index, mtu=1400, txqueuelen=500)")
    try:
        [link] = json.loads(host.check_output("ip -j link show %s", igb))
        assert (link["mtu"], link["txqlen"]) == (1400, 500)
    finally:
        ask("None", f"n.set_link({index}, mtu=1500, txqueuelen=1000)")
