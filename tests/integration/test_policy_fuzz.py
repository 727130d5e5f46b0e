"""The compiled policy in the kernel and the reference model say the same of every frame.

``TRIPOD_FUZZ_FRAMES`` asks for more frames than CI has time for, ``TRIPOD_FUZZ_SEED`` for others. Where the two differ,
the test tells a policy and a frame that are as small as they get; each that was found is kept in ``FOUND``.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled, compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.integration import frames as f
from tests.support.policy_frames import FIRST_BUFFER, Edges, Frames
from tests.support.policy_model import Judgement, Model
from tests.support.policy_model_packet import parse as parse_frame
from tests.support.policy_model_random import Policies
from tests.support.policy_run import REASONS, VERDICTS, Loaded, Record

FRAMES = int(os.environ.get("TRIPOD_FUZZ_FRAMES", "100000"))
SEED = int(os.environ.get("TRIPOD_FUZZ_SEED", "12"))
FRAMES_OF_A_POLICY = 500
# Limits of these policies give nothing back for an hour, so any clock does.
HZ = 250
PROGRAMS = ("tripod_xdp", "tripod_xdp_frags")
FRAGMENTS = {None: 0, "first": 1, "later": 2}
UNTAGGED = 4096

# Each looks at other ports and addresses, so that there are more sets of parts than of any random policy.
MANY_SETS = [
    {
        "id": f"rule{port}",
        "protocol": "udp",
        "destination_port": f"{port}-{port + 3}",
        "destination": f"10.{port % 256}.{port // 256}.0/24",
        "action": "drop",
    }
    for port in range(5000, 6024)
]
# What was found once.
DROPS = {"lists": [{"name": "blocked", "prefixes": ["2001:db8:bad::/48"]}]}
FOUND = [
    pytest.param(
        "tripod_xdp_frags",
        {**DROPS, "default": "drop"},
        f.ethernet(f.IPV6, f.ipv6("2001:db8:bad::1"), (f.VLAN,) * 900),
        id="a header behind the first buffer",
    ),
    pytest.param(
        "tripod_xdp",
        {
            "rules": [
                {"id": f"rule{number}", "protocol": number, "action": "drop", "mode": "observe"} for number in range(64)
            ]
        },
        f.ethernet(f.IPV4, f.ipv4("192.0.2.1", protocol=63)),
        id="the last rule of a word, in observe mode",
    ),
    pytest.param(
        "tripod_xdp",
        {"trusted": [{"protocol": "tcp", "port": 22}], "rules": MANY_SETS},
        f.ethernet(f.IPV4, f.ipv4("192.0.2.1")),
        id="more sets than the first size class holds",
    ),
]


@dataclass(frozen=True)
class Setting:
    """A policy with what is asked of it."""

    policy: Mapping[str, Any]
    bans: Sequence[str]
    frames: Sequence[bytes]


class Judges:
    """The program in the kernel, always loaded for the policy that it is asked by.

    Args:
        content: The object.
        program: Its program.
    """

    def __init__(self, content: bytes, program: str) -> None:
        self._content, self._program = content, program
        self._loaded: Loaded | None = None

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *_unused: object) -> None:
        if self._loaded:
            self._loaded.__exit__()

    def under(self, setting: Setting) -> tuple[Loaded, Compiled]:
        """Return the program under a policy, with nothing counted and charged."""
        bounds = self._loaded.bounds if self._loaded else None
        compiled = compile_policy(parse(setting.policy), hz=HZ, seed=bytes(16), bounds=bounds)
        if self._loaded is None or dict(compiled.bounds) != self._loaded.bounds:
            self.__exit__()
            self._loaded = Loaded(self._content, compiled, self._program)
        else:
            self._loaded.judge_by(compiled)
        self._loaded.clear()
        self._loaded.ban(setting.bans)
        return self._loaded, compiled


def told(record: Record, slots: Mapping[int, str]) -> dict[str, Any]:
    """Return what the program says, in the words of the model."""
    return {
        "verdict": VERDICTS[record.verdict],
        "reason": REASONS[record.reason],
        "would": VERDICTS[record.would] if record.would else None,
        "limits": [(slots[slot], answer) for slot, answer in record.asked()],
        **{
            part: slots[getattr(record, part)] for part in ("list", "observed_list", "rule", "observed_rule", "service")
        },
    }


def read(record: Record) -> dict[str, Any]:
    """Return what the program read in a whole packet."""
    size = 4 if record.family == 4 else 16
    return {
        "family": record.family,
        "protocol": record.protocol,
        "fragment": record.fragment,
        "vlan": record.vlan,
        "ports": (record.source_port, record.destination_port),
        "tcp_flags": record.tcp_flags,
        "icmp_type": record.icmp_type,
        "source": int.from_bytes(record.source[:size], "big"),
        "destination": int.from_bytes(record.destination[:size], "big"),
        "length": record.length,
    }


def to_read(frame: bytes) -> dict[str, Any] | None:
    """Return what is to be read in a frame; None where it is no whole packet."""
    packet = parse_frame(frame, FIRST_BUFFER)
    return (
        {
            "family": packet.family,
            "protocol": packet.protocol,
            "fragment": FRAGMENTS[packet.fragment],
            "vlan": UNTAGGED if packet.vlan is None else packet.vlan,
            "ports": (packet.source_port or 0, packet.destination_port or 0),
            "tcp_flags": packet.tcp_flags or 0,
            "icmp_type": packet.icmp_type or 0,
            "source": packet.source,
            "destination": packet.destination,
            "length": packet.length,
        }
        if packet.state == "whole"
        else None
    )


class Expected:
    """What the program has to have counted, by the model's word."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, bool]] = Counter()
        self.bytes: Counter[tuple[str, bool]] = Counter()
        self.verdicts: Counter[tuple[str, str]] = Counter()

    def add(self, said: Judgement, length: int) -> None:
        """Count a frame."""
        self.verdicts[said.verdict, said.reason] += 1
        met = [(f"{part}:{name}", False) for part in ("list", "rule", "service") if (name := getattr(said, part))]
        met += [(f"{part}:{name}", True) for part in ("list", "rule") if (name := getattr(said, f"observed_{part}"))]
        met += [(f"limit:{name}", answer == "observed") for name, answer in said.limits if answer != "conformed"]
        for one in met:
            self.hits[one] += 1
            self.bytes[one] += length


def difference(judges: Judges, setting: Setting) -> tuple[int, Any, Any] | None:
    """Return the first frame of which the two say different things, by its place, and what they say; None if none."""
    loaded, compiled = judges.under(setting)
    slots = {0: None, **{slot: name.partition(":")[2] for name, slot in compiled.slots.items()}}
    model, expected = Model(setting.policy, setting.bans), Expected()
    for place, frame in enumerate(setting.frames):
        said, record = model.judge(frame, buffer=FIRST_BUFFER), loaded.run(frame)
        expected.add(said, len(frame))
        if (facts := said.facts()) != (answer := told(record, slots)):
            return place, answer, facts
        if (packet := to_read(frame)) and said.reason not in ("ban", "list_drop") and packet != read(record):
            return place, read(record), packet
    hits = loaded.hits()
    by_slot = {
        (name, bool(observed)): sums[observed : observed + 2]
        for name, slot in compiled.slots.items()
        if (sums := hits.get(slot))
        for observed in (0, 2)
        if sums[observed]
    }
    counted = {one: (count, expected.bytes[one]) for one, count in expected.hits.items()}
    if by_slot != counted:
        return len(setting.frames), by_slot, counted
    if loaded.counters() != dict(expected.verdicts):
        return len(setting.frames), loaded.counters(), dict(expected.verdicts)
    return None


def smaller(setting: Setting) -> Iterator[Setting]:
    """Yield settings that are a bit smaller: without one part, one entry, one field."""
    for key, value in setting.policy.items():
        without = {name: one for name, one in setting.policy.items() if name != key}
        yield Setting(without, setting.bans, setting.frames)
        if not isinstance(value, list):
            continue
        for place, one in enumerate(value):
            yield Setting({**without, key: value[:place] + value[place + 1 :]}, setting.bans, setting.frames)
            for field, held in one.items():
                if field == "burst":  # a limit without has another, and that is another difference
                    continue
                others = [{name: each for name, each in one.items() if name != field}]
                if isinstance(held, list) and len(held) > 1:
                    others += [{**one, field: held[:at] + held[at + 1 :]} for at in range(len(held))]
                for other in others:
                    changed = {**without, key: [*value[:place], other, *value[place + 1 :]]}
                    yield Setting(changed, setting.bans, setting.frames)
    for place in range(len(setting.bans)):
        yield Setting(setting.policy, [*setting.bans[:place], *setting.bans[place + 1 :]], setting.frames)


def smallest(judges: Judges, setting: Setting, place: int) -> Setting:
    """Return what is left of a setting when all is taken away without which the two still differ."""
    for frames in (setting.frames[place : place + 1], setting.frames[: place + 1]):
        found = Setting(setting.policy, setting.bans, frames)
        if difference(judges, found):
            break
    while True:
        for one in smaller(found):
            try:
                still = difference(judges, one)
            except Exception:  # what was taken away was needed: by the schema, by a name, by the model
                continue
            if still:
                found = one
                break
        else:
            return found


@pytest.fixture(scope="module")
def content(xdp_object: Path) -> bytes:
    return xdp_object.read_bytes()


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_and_model_agree_on_every_frame(content, program):
    random = Random(f"{SEED} {program}")
    policies = Policies(random)
    left = FRAMES // len(PROGRAMS)
    with Judges(content, program) as judges:
        while left > 0:
            policy, bans = policies.draw(), policies.bans()
            source = Frames(Edges(policy, bans), random, jumbo=program.endswith("_frags"))
            setting = Setting(policy, bans, [source.draw() for _frame in range(min(left, FRAMES_OF_A_POLICY))])
            left -= len(setting.frames)
            if found := difference(judges, setting):
                least = smallest(judges, setting, found[0])
                place, program_says, model_says = difference(judges, least) or found
                frames = [frame.hex() for frame in least.frames]
                pytest.fail(
                    f"policy {json.dumps(least.policy)}\nbans {least.bans}\nframe {place} of {frames}\n"
                    f"program {program_says}\nmodel   {model_says}"
                )


@pytest.mark.parametrize(("program", "policy", "frame"), FOUND)
def test_they_agree_on_what_was_found_before(content, program, policy, frame):
    with Judges(content, program) as judges:
        assert difference(judges, Setting(policy, [], [frame])) is None


def test_sources_that_share_a_line_have_buckets_of_their_own(content):
    """About a hundred of so many sources fall into another's cache line, whatever the clock says at the time."""
    once = {"name": "once", "packets": "1/h", "burst": 1, "every_packet": True}
    frames = [f.ethernet(f.IPV4, f.ipv4(f"10.0.{number >> 8}.{number & 255}")) for number in range(2000)]
    with Judges(content, "tripod_xdp") as judges:
        loaded, _compiled = judges.under(Setting({"limits": [once]}, [], []))
        assert Counter(VERDICTS[loaded.run(frame).verdict] for frame in frames) == {"pass": 2000}
        assert Counter(VERDICTS[loaded.run(frame).verdict] for frame in frames) == {"drop": 2000}
