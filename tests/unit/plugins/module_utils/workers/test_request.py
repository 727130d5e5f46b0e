"""Workers as the inventory has them: what is wrong with them on any host, and the file that go-backend reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._workers.request import WORKER, Worker, parse, render

EDGE: dict[str, Any] = {"name": "edge", "nic": "ens1", "queues": [2, 3], "handler": "sink"}
HOPS: dict[str, Any] = {"near": {"next_hop": "52:54:00:00:00:01"}, "far": {"next_hop": "52:54:00:00:00:02"}}

BALANCE: dict[str, Any] = {
    "addresses": ["192.0.2.10"],
    "sources": ["198.51.100.1"],
    "backends": [{"name": "a", "address": "198.51.100.11"}, {"name": "b", "address": "198.51.100.12", "weight": 2}],
    "health_port": 80,
}
GO_FILE = Path(__file__).resolve().parents[5] / "files/services/go-backend/internal/workers/testdata/workers.json"


def reasons(*options):
    with pytest.raises(Invalid) as reported:
        parse(options)
    return reported.value.facts["reasons"]


def test_what_is_left_out_is_left_out_of_the_file():
    plain = Worker("edge", "ens1", (2, 3), "sink")
    defaults = {name: option.get("default") for name, option in WORKER.items() if not option.get("required")}
    assert parse([EDGE]) == parse([{**EDGE, **defaults}]) == [plain]
    assert json.loads(render([plain])) == {"workers": [EDGE]}


def test_the_file_is_the_same_in_whatever_order():
    one, other = parse([EDGE, {**EDGE, "name": "core", "queues": [0], "cpus": [4], "node": 0, "spin": True}])
    assert render([one, other]) == render([other, one])
    assert json.loads(render([one, other]))["workers"][0] == {
        **{"name": "core", "nic": "ens1", "queues": [0], "handler": "sink", "cpus": [4], "node": 0, "spin": True}
    }


def test_go_backend_is_tested_with_a_file_of_this_form():
    """Its own tests read this file, in which every key and every handler is; write it anew with ``render``."""
    everything = {
        **{"name": "every", "nic": "ens1", "queues": [8, 9], "cpus": [2, 3], "handler": "sink", "mode": "copy"},
        **{"generic": True, "multi_buffer": True, "rx_ring": 512, "tx_ring": 1024, "fill_ring": 4096, "node": 0},
        **{"frame_size": 2048, "frame_count": 8192, "headroom": 64, "hugepages": "2M", "hugepages_fallback": True},
        **{"batch": 32, "spin": True, "busy_poll_us": 50, "busy_poll_budget": 32, "watchdog_ms": 200},
    }
    handlers = {
        "balance": {**BALANCE, "encapsulation": "gue", "health_check": "http", "health_interval_ms": 2000},
        "capture": {},
        "echo": {"addresses": ["192.0.2.1", "2001:db8::1"]},
        "forward": {
            **{"peer": "ens2", "errors_per_second": 10},
            **{side: {**hop, "v4": "192.0.2.1", "v6": "2001:db8::1"} for side, hop in HOPS.items()},
        },
        "reflect": {},
        "sink": {},
    }
    plain = [
        {"name": name, "nic": "ens1", "queues": [queue], "handler": name, "options": options}
        for queue, (name, options) in enumerate(handlers.items())
    ]
    assert set(everything) == set(WORKER) - {"options"}
    assert GO_FILE.read_text(encoding="utf-8") == render(parse([everything, *plain]))


@pytest.mark.parametrize(
    ("options", "frames", "memory"),
    [
        ({}, 6144, 2 * 6144 * 4096),
        ({"rx_ring": 512, "tx_ring": 512, "frame_size": 2048}, 1536, 2 * 1536 * 2048),
        ({"handler": "forward", "options": {"peer": "ens2", **HOPS}}, 12288, 2 * 12288 * 4096),
        ({"frame_count": 8192, "hugepages": "1G"}, 6144, 1 << 30),
        ({"hugepages": "2M"}, 6144, 2 * 6144 * 4096),
    ],
)
def test_memory_is_counted_in_whole_pages(options, frames, memory):
    [worker] = parse([{**EDGE, **options}])
    assert (worker.frames_needed, worker.memory) == (frames, memory)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "9lives"}, "its name must begin with a letter"),
        ({"nic": "ens1/queues"}, "nic 'ens1/queues' has '/' in it"),
        ({"queues": []}, "queues is empty: name one at least"),
        ({"queues": [64]}, "queue 64: 0 to 63 have a place in the program's map of sockets"),
        ({"queues": [-1]}, "queue -1: 0 to 63"),
        ({"queues": [2, 2]}, "queue 2 is named 2 times: once is enough"),
        ({"cpus": [4]}, "1 CPUs for 2 queues: give one for each, or none"),
        ({"rx_ring": 1000}, "rx_ring 1000: a power of two up to 32768 is possible"),
        ({"rx_ring": 32768}, "fill_ring 65536: a power of two up to 32768 is possible"),
        ({"tx_ring": 65536}, "tx_ring 65536: a power of two up to 32768 is possible"),
        ({"rx_ring": 4096, "fill_ring": 2048}, "fill_ring 2048 < rx_ring 4096: it must have a frame for each"),
        ({"tx_ring": 16, "multi_buffer": True}, "tx_ring 16: a packet of 18 frames (multi_buffer) has to fit"),
        (
            {"frame_size": 3000},
            "frame_size 3000: the kernel takes 2048 or 4096 bytes; longer packets need multi_buffer",
        ),
        ({"headroom": 3900}, "headroom 3900: 0 to 2542 bytes leave room for a packet in a frame of 4096"),
        ({"frame_count": 6143}, "frame_count 6143: its rings hold up to 6144 frames for each queue"),
        ({"batch": 17}, "batch 17: 18 to 4096 are possible"),
        ({"busy_poll_us": 1_000_001}, "busy_poll_us 1000001: 0 to 1000000 are possible"),
        ({"busy_poll_budget": 0}, "busy_poll_budget 0: 1 to 65535 are possible"),
        ({"watchdog_ms": 40}, "watchdog_ms 40: 50 to 60000 are possible"),
        ({"node": -2}, "node -2: -1 to 1023 are possible"),
        ({"handler": "router"}, "handler 'router' is none; there are "),
        ({"options": {"backends": []}}, "options of sink: there is no backends; it takes none"),
        ({"handler": "echo"}, "options of echo: addresses is empty: give one at least that it answers for"),
        (
            {"handler": "echo", "options": {"addresses": ["ens1"]}},
            "options of echo: addresses: 'ens1' is no IP address",
        ),
        (
            {"handler": "echo", "options": {"addresses": ["ff02::1"]}},
            "addresses: ff02::1 is none that a station can have",
        ),
        ({"handler": "echo", "options": {"addresses": [3221225985]}}, "addresses: 3221225985 is no IP address"),
        (
            {"handler": "forward", "options": HOPS},
            "options of forward: peer is empty: give the NIC that packets leave by",
        ),
        (
            {"handler": "forward", "options": {"peer": "ens1", **HOPS}},
            "it forwards to ens1, where the packets come from",
        ),
        (
            {"handler": "forward", "options": {"peer": "ens2", "near": HOPS["near"]}},
            "options of forward: far is missing",
        ),
        (
            {"handler": "forward", "options": {"peer": "ens2", **HOPS, "far": {"next_hop": "01:00:5e:00:00:01"}}},
            "far: next_hop 01:00:5e:00:00:01 is the address of a group, and one station is needed",
        ),
        (
            {"handler": "forward", "options": {"peer": "ens2", **HOPS, "far": {**HOPS["far"], "v4": "2001:db8::1"}}},
            "far: v4: 2001:db8::1 is an address of IPv6",
        ),
        (
            {"handler": "forward", "options": {"peer": "ens2", **HOPS, "errors_per_second": -1}},
            "errors_per_second -1: 0 to 100000 ICMP errors are possible",
        ),
    ],
)
def test_what_is_wrong_says_the_limit_and_the_way_out(options, words):
    [reason] = reasons({**EDGE, **options})
    assert reason.startswith("worker ")
    assert words in reason


def test_a_queue_and_a_name_belong_to_one_worker():
    forward = {**EDGE, "name": "on", "nic": "ens2", "handler": "forward", "options": {"peer": "ens1", **HOPS}}
    assert reasons(EDGE, {**EDGE, "queues": [0]}, {**forward, "queues": [3]}) == [
        "worker edge is there 2 times: give each a name of its own",
        "worker on: queue 3 of ens1 is worker edge's already",
    ]


def test_every_reason_of_every_worker_comes_at_once():
    assert len(reasons({**EDGE, "batch": 1, "headroom": -1}, {**EDGE, "name": "b", "queues": [], "rx_ring": 3})) == 4


def test_backends_of_a_balancer_are_taken_as_they_are():
    [worker] = parse([{**EDGE, "handler": "balance", "options": BALANCE}])
    assert worker.to_body()["options"] == BALANCE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backends": []}, "backends is empty: give one at least, with name and address"),
        ({"addresses": []}, "addresses is empty: give one at least that clients connect to"),
        ({"sources": None}, "sources is empty: give one at least that encapsulated packets come from"),
        ({"sources": ["2001:db8::1"], "backends": BALANCE["backends"][:1]}, "needs a source of its family, IPv4"),
        ({"addresses": ["198.51.100.11"]}, "backends[0]: address 198.51.100.11 is one that clients connect to"),
        ({"backends": [*BALANCE["backends"], {"name": "a", "address": "198.51.100.13"}]}, "name a is there 2 times"),
        ({"backends": [{"name": "a"}]}, "backends[0]: address: None is no IP address"),
        ({"backends": [{"address": "198.51.100.11"}]}, "backends[0]: name is missing"),
        ({"backends": ["198.51.100.11"]}, "backends[0] is '198.51.100.11': a dictionary with name, address"),
        ({"backends": [{**BALANCE["backends"][0], "weight": 0}]}, "backends[0]: weight 0: 1 to 100 are possible"),
        ({"encapsulation": "gre"}, "encapsulation 'gre': ipip, gue is needed"),
        ({"health_port": 0}, "health_port 0: 1 to 65535 are possible"),
        ({"health_fall": 11}, "health_fall 11: 1 to 10 are possible"),
        (
            {"health_interval_ms": 100},
            "health_timeout_ms 500 > health_interval_ms 100: a check must end before the next",
        ),
        ({"vip": "192.0.2.10"}, "there is no vip; it takes addresses, backends, sources"),
    ],
)
def test_what_is_wrong_with_a_balancer(options, words):
    [reason] = reasons({**EDGE, "handler": "balance", "options": {**BALANCE, **options}})
    assert reason.startswith("worker edge: options of balance: ")
    assert words in reason


def test_a_balancer_that_checks_needs_a_port():
    options = {key: value for key, value in BALANCE.items() if key != "health_port"}
    [reason] = reasons({**EDGE, "handler": "balance", "options": options})
    assert "health_port is missing" in reason
    assert parse([{**EDGE, "handler": "balance", "options": {**options, "health_check": "none"}}])
