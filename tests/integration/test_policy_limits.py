"""What limits let through: by the clock, on two CPUs at once, and while new sources flood the buckets."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.clock import hz
from ansible_collections.tripod.baremetal.plugins.module_utils._policy import layout
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled, compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.integration import frames as f
from tests.integration import lab
from tests.support.policy_run import VERDICTS, Loaded

WORD = (1 << 64) - 1
FACTOR = 0xD6E8FEB86659FD93  # of mix() in files/bpf/limits.h
LINE_BITS = 14
SECONDS = 1.5
UPPER = 0x20010DB800000000


@pytest.fixture(scope="module")
def content(xdp_object: Path) -> bytes:
    return xdp_object.read_bytes()


@contextmanager
def under(content: bytes, policy: Mapping[str, Any], tracing: bool = True) -> Iterator[tuple[Loaded, Compiled]]:
    compiled = compile_policy(parse(policy), hz=hz(), seed=bytes(16))
    with Loaded(content, compiled, tracing=tracing) as loaded:
        yield loaded, compiled


def passes(loaded: Loaded, frame: bytes) -> bool:
    return VERDICTS[loaded.run(frame).verdict] == "pass"


def every_packet(**limit: Any) -> dict[str, Any]:
    return {"limits": [{"name": "l", "every_packet": True, **limit}]}


@pytest.mark.parametrize("sources", [1, 100])
@pytest.mark.parametrize("offered", [0.5, 2, 10])
def test_a_limit_lets_through_what_it_says(content, offered, sources):
    """A burst of half a second bridges the time in which the machine does something else."""
    rate = 500 // sources * 2
    burst = rate // 2
    policy = every_packet(packets=f"{rate}/s", burst=burst)
    frames = [f.ethernet(f.IPV4, f.ipv4(f"192.0.2.{number}")) for number in range(sources)]
    sent = delivered = 0
    with under(content, policy) as (loaded, _compiled):
        start = begun = loaded.run(frames[0])
        delivered = VERDICTS[begun.verdict] == "pass"
        sent = 1
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < SECONDS:
            if sent < offered * rate * sources * elapsed:
                begun = loaded.run(frames[sent % sources])
                delivered += VERDICTS[begun.verdict] == "pass"
                sent += 1
        ticks = begun.now - start.now
    allowed = sources * (rate * ticks / hz() + burst)
    assert delivered <= allowed + sources
    assert delivered >= 0.95 * min(sent, allowed)


def test_two_cpus_that_charge_one_bucket_get_what_one_does(content):
    rate, frame = 100_000, f.ethernet(f.IPV4, f.ipv4("192.0.2.1"))
    with under(content, every_packet(packets=f"{rate}/s", burst=rate // 10, per="global"), False) as (
        loaded,
        _compiled,
    ):
        began = time.monotonic()

        def flood() -> None:
            while time.monotonic() - began < SECONDS / 3:
                lab.run_program(loaded.program, frame, 20_000)

        threads = [threading.Thread(target=flood) for _cpu in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.monotonic() - began
        delivered = loaded.counters()["pass", "no_rule"]
    allowed = rate * (elapsed + 1 / hz()) + rate / 10
    # On a busy machine neither may have offered anything for a while; test_policy_rates knows for how long.
    assert 0.9 * (allowed - 2 * rate / hz()) <= delivered <= 1.05 * allowed


def mix(word: int) -> int:
    word = word * FACTOR & WORD
    return (word ^ word >> 32) * FACTOR & WORD


def unmix(word: int) -> int:
    inverse = pow(FACTOR, -1, 1 << 64)
    word = word * inverse & WORD
    return (word ^ word >> 32) * inverse & WORD


def in_line(compiled: Compiled, line: int, number: int) -> bytes:
    """A frame of the so-maniest source whose bucket is in a line of the table."""
    [seed] = struct.unpack_from("=Q", compiled.data, layout.OFFSETS["limits"] + layout.LIMIT.size + 24)
    lower = unmix(line << 64 - LINE_BITS | number + 1) ^ mix(seed ^ UPPER)
    source = ":".join(f"{UPPER << 64 | lower:032x}"[place : place + 4] for place in range(0, 32, 4))
    return f.ethernet(f.IPV6, f.ipv6(source))


def test_four_sources_have_their_buckets_in_a_line(content):
    with under(content, every_packet(packets="1/h", burst=2, ipv6_prefix=128)) as (loaded, compiled):
        frames = [in_line(compiled, 7, number) for number in range(4)]
        assert [passes(loaded, frame) for frame in frames * 3] == [True] * 8 + [False] * 4
        # A fifth has the bucket that lacks least, as it stands: it gets nothing that nobody had left.
        assert not passes(loaded, in_line(compiled, 7, 4))
        assert passes(loaded, in_line(compiled, 8, 5))


@pytest.mark.parametrize("burst", [1, 10])
@pytest.mark.parametrize("newcomers", [1, 20], ids=["some", "many"])
def test_a_flood_of_new_sources_does_not_free_one_that_is_limited(content, burst, newcomers):
    rate, number = 100, 1
    with under(content, every_packet(packets=f"{rate}/s", burst=burst, ipv6_prefix=128)) as (loaded, compiled):
        limited = in_line(compiled, 3, 0)
        first = last = loaded.run(limited)
        delivered = sent = 1
        began = time.monotonic()
        while time.monotonic() - began < SECONDS:
            for _newcomer in range(newcomers):
                loaded.run(in_line(compiled, 3, number))
                number += 1
            last = loaded.run(limited)
            delivered += VERDICTS[last.verdict] == "pass"
            sent += 1
    assert sent > 5 * rate * SECONDS, "the machine was too slow to flood anything"
    assert delivered <= 1.1 * (rate * (last.now - first.now + 1) / hz() + burst)


def test_a_limit_per_service_has_a_bucket_for_each_and_a_global_one_for_all(content):
    services = [{"name": f"port{port}", "protocol": "udp", "port": port, "limit": "l"} for port in (53, 123)]
    frames = [
        f.ethernet(f.IPV4, f.ipv4("192.0.2.1", struct.pack("!HHHH", 4000, port, 8, 0))) for port in (53, 123, 53, 123)
    ]
    for per, expected in (("service", [True, True, False, False]), ("global", [True, False, False, False])):
        policy = {"limits": [{"name": "l", "packets": "1/h", "burst": 1, "per": per}], "services": services}
        with under(content, policy) as (loaded, _compiled):
            assert [passes(loaded, frame) for frame in frames] == expected


def test_what_exceeds_its_packets_is_not_charged_its_bytes(content):
    frame = f.ethernet(f.IPV4, f.ipv4("192.0.2.1")).ljust(1000, b"\0")
    policy = every_packet(packets="1/h", bytes="100k/h", burst={"packets": 3, "bytes": 65_536})
    with under(content, policy) as (loaded, compiled):
        slot = compiled.slots["limit:l"]
        asked = [list(loaded.run(frame).asked()) for _time in range(4)]
        assert asked == [[(slot, "conformed")] * 2] * 3 + [[(slot, "exceeded")]]


@pytest.mark.parametrize(("length", "shared"), [(24, True), (32, False)])
def test_sources_of_a_prefix_share_a_bucket(content, length, shared):
    with under(content, every_packet(packets="1/h", burst=1, ipv4_prefix=length)) as (loaded, _compiled):
        assert passes(loaded, f.ethernet(f.IPV4, f.ipv4("192.0.2.1")))
        assert passes(loaded, f.ethernet(f.IPV4, f.ipv4("192.0.2.254"))) != shared
        assert passes(loaded, f.ethernet(f.IPV4, f.ipv4("192.0.3.1")))


def test_a_bucket_lives_on_over_a_replacement(content):
    policy = every_packet(packets="1/h", burst=1)
    frame = f.ethernet(f.IPV4, f.ipv4("192.0.2.1"))
    with under(content, policy) as (loaded, compiled):
        assert passes(loaded, frame)
        changed = {**policy, "default": "pass", "rules": [{"id": "r", "protocol": 99, "action": "drop"}]}
        again = compile_policy(parse(changed), hz=hz(), seed=bytes(16), slots=compiled.slots, bounds=compiled.bounds)
        loaded.judge_by(again)
        assert not passes(loaded, frame)
