# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What an operator expects of a policy: packets, and what has to become of them before it may come into force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core import state_store
from .._core.converge import CoreError, Findings, Impossible, Invalid, Outcome
from .._core.json_schema import faults
from .._core.system import Host
from .._policy.frame import FRAME, LONGEST, SHORTEST, build
from .._policy.merge import IDENTITIES
from .._samples import capture
from .._samples.sample import REASONS, VERDICTS
from . import policy_documents
from .policy_lists import Lists, digest

# A part in observe mode is as good an answer as one that is enforced: the verdict says which it was.
_ALSO: Mapping[str, str] = {"list": "observed_list", "rule": "observed_rule"}
_LIMIT = "limit"
_MOST_FRAMES, _MOST_BYTES = 10_000, 64 << 20  # of a capture: a second of the twin's time
_SHOWN = 5  # frames of a capture that are named where more are wrong
# What may be expected, by what is asked; what is neither here nor a part is yes or no.
_ANSWERS: Mapping[str, Sequence[Any]] = {"verdict": VERDICTS, "reason": REASONS, "would": (*VERDICTS, None)}
_YES_OR_NO = ("trusted", "banned")
_PARTS: Mapping[str, str] = {kind[:-1]: kind for kind in IDENTITIES}
EXPECTATIONS = (*_ANSWERS, *_YES_OR_NO, *_PARTS)


# A test as it is saved on the host; a capture by what is in it, as its file may be another by then.
_TEST: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["expect"],
    "properties": {
        "name": {"type": "string"},
        "frame": FRAME,
        "pcap": {"type": "string"},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "number": {"type": "integer", "minimum": 1},
        "expect": {"type": "object"},
    },
}
SAVED: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["policy", "tests"],
    "properties": {"policy": {"type": "string"}, "tests": {"type": "array", "minItems": 1, "items": _TEST}},
}


@dataclass(frozen=True)
class PolicyTest:
    """Packets, and what has to become of each of them.

    Attributes:
        place: What messages call it.
        frames: From the Ethernet header on, by what messages call each.
        expect: Out of EXPECTATIONS; a part by its name, and None for none.
        saved: As it is saved on the host.
        content: Of its capture; empty where it has none.
    """

    place: str
    frames: Mapping[str, bytes] = field(repr=False)
    expect: Mapping[str, Any]
    saved: Mapping[str, Any] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)


def read_tests(
    options: Sequence[Mapping[str, Any]],
    document: Any = None,
    staged: Mapping[str, str] | None = None,
    lists: Lists | None = None,
) -> list[PolicyTest]:
    """Return the tests in a module's options, each with ``expect``, and ``frame`` or ``pcap``.

    Args:
        options: The tests.
        document: The inventory's, which has every part that is expected; None where that was checked before.
        staged: Where files are read from, by the path that is given for them; from there where it is not in here.
        lists: Where captures are by their digests, of tests that were saved.

    Raises:
        Invalid: A packet is none, a capture cannot be read, or what is expected is nothing that there is; every reason
            at once.
    """

    def read(one: Mapping[str, Any]) -> bytes:
        return _content((staged or {}).get(one["pcap"], one["pcap"])) if lists is None else lists[one["sha256"]]

    findings, found = Findings(), []
    names = None if document is None else _names(document)
    for number, one in enumerate(options):
        place, expect = f"tests[{number}]", one["expect"]
        for words in _unexpected(expect, names):
            findings.add(f"{place}.expect: {words}")
        try:
            found.append(_test(one, place, read))
        except CoreError as error:
            for reason in error.facts.get("reasons") or [str(error)]:
                findings.add(reason)
    findings.raise_if_any(Invalid, "the policy's tests are not valid, nothing was changed")
    return found


def _names(document: Any) -> dict[str, list[str]]:
    """Return the names that a document has for parts of each kind; what is malformed has none."""
    parts: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
    found: dict[str, list[str]] = {}
    for kind, key in _PARTS.items():
        held = parts.get(key)
        those = held if isinstance(held, list) else []
        found[kind] = [
            str(one[IDENTITIES[key]]) for one in those if isinstance(one, Mapping) and IDENTITIES[key] in one
        ]
    return found


def _unexpected(expect: Mapping[str, Any], names: Mapping[str, Sequence[str]] | None) -> Iterator[str]:
    unknown = [str(key) for key in expect if key not in EXPECTATIONS]
    if unknown or not expect:
        yield f"{', '.join(unknown) or 'it is empty'}; there are {', '.join(EXPECTATIONS)}"
    for key, value in expect.items():
        if key in _ANSWERS and value not in _ANSWERS[key]:
            yield f"{key} is never {_show(value)}; it is one of {', '.join(map(_show, _ANSWERS[key]))}"
        elif key in _YES_OR_NO and not isinstance(value, bool):
            yield f"{key} is never {_show(value)}; it is true or false"
        elif key in _PARTS and names is not None and value is not None and value not in names[key]:
            there = ", ".join(names[key]) or "none"
            yield f"the policy declares no {key} {_show(value)}; its {_PARTS[key]} are {there}"


def _test(one: Mapping[str, Any], place: str, read: Callable[[Mapping[str, Any]], bytes]) -> PolicyTest:
    if (one.get("frame") is None) == (one.get("pcap") is None):
        raise Invalid(f"{place}: give either frame or pcap")
    saved = {key: one[key] for key in _TEST["properties"] if one.get(key) is not None}
    named = f"{place} ({one['name']})" if one.get("name") else place
    if one.get("pcap") is None:
        return PolicyTest(named, {"": build(one["frame"], f"{place}.frame")}, one["expect"], saved)
    try:
        content = read(one)
        if len(content) > _MOST_BYTES:
            raise Invalid(f"it has more than {_MOST_BYTES >> 20} MiB: take out what is to be judged")
        chosen = _chosen(capture.frames(content), one.get("number"))
    except (OSError, CoreError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise Invalid(f"{place}.pcap: {one['pcap']}: {words}") from error
    return PolicyTest(named, chosen, one["expect"], {**saved, "sha256": digest(content)}, content)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MOST_BYTES + 1)


def _chosen(found: Sequence[bytes], number: int | None) -> Mapping[str, bytes]:
    if not 0 < len(found) <= _MOST_FRAMES:
        raise Invalid(f"it has {len(found)} frames, 1 to {_MOST_FRAMES} are tried")
    if number is not None and not 0 < number <= len(found):
        raise Invalid(f"it has the frames 1 to {len(found)}, and not number {number}")
    chosen = {place: one for place, one in enumerate(found, 1) if number in (None, place)}
    for place, frame in chosen.items():
        if not SHORTEST <= len(frame) <= LONGEST:
            raise Invalid(f"frame {place} has {len(frame)} bytes, and {SHORTEST} to {LONGEST} are what can be tried")
    return {f"frame {place}": frame for place, frame in chosen.items()}


def saved_tests(host: Host, policy: str, lists: Lists, directory: str = state_store.DIRECTORY) -> list[PolicyTest]:
    """Return the tests of a policy that are saved on the host; those that the inventory had when it was put in force.

    Raises:
        Impossible: The file cannot be understood, or a capture is gone.
    """
    path = policy_documents.tests_path(policy, directory)
    found = state_store.load(host, policy_documents.tests_name(policy), directory)
    if found is None and not host.exists(path):
        return []
    reasons = ["it is none of ours"]
    if found is not None and found.kind == policy_documents.TESTS_KIND:
        reasons = list(faults(found.body, SAVED))
        if not reasons:
            try:
                return read_tests(found.body["tests"], lists=lists)
            except Invalid as error:
                reasons = error.facts["reasons"]
    raise Impossible(
        f"{path} cannot be understood, so nobody knows what is expected of the policy: {'; '.join(reasons)}; run the "
        "playbook that wrote it again"
    )


def store_tests(host: Host, policy: str, tests: Sequence[PolicyTest], directory: str = state_store.DIRECTORY) -> None:
    """Save what is expected of a policy, and the captures; where nothing is, no file is left."""
    name = policy_documents.tests_name(policy)
    if not tests:
        state_store.discard(host, name, directory)
        return
    Lists(host, {one.saved["sha256"]: one.content for one in tests if one.content}).store()
    body = {"policy": policy, "tests": [one.saved for one in tests]}
    file = state_store.StateFile(name, policy_documents.TESTS_KIND, body)
    state_store.store(host, file, directory, policy_documents.MODE)


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Do nothing: tests are for who changes a policy, and what is in force comes into force again at a boot untried.

    Raises:
        Impossible: Nobody can tell what is expected.
    """
    reasons = list(faults(body, SAVED))
    if reasons:
        raise Impossible(f"what is expected of the policy cannot be understood: {'; '.join(reasons)}")
    return Outcome([], None, checked=check)


# By the test's place and the frame's name in it.
Failing = Mapping[tuple[str, str], str]


def failing(tests: Sequence[PolicyTest], judge: Callable[[bytes], Mapping[str, Any]]) -> Failing:
    """Return what does not become of packets as expected, in words.

    Args:
        tests: From ``read_tests``.
        judge: Says what becomes of a frame; see ``policy_twin.Twin.judge``.
    """
    return {
        (test.place, name): words
        for test in tests
        for name, frame in test.frames.items()
        for words in _wrong(test.expect, judge(frame))
    }


def lines(found: Failing) -> Iterator[str]:
    """Yield a line for each of the frames that fail; of a capture, for some of them and the number of the others."""
    by_place: dict[str, list[str]] = {}
    for (place, name), words in found.items():
        by_place.setdefault(place, []).append(f"{in_full(place, name)}: {words}")
    for place, those in by_place.items():
        yield from those[:_SHOWN]
        if len(those) > _SHOWN:
            yield f"{place}: {len(those) - _SHOWN} more of its frames"


def in_full(place: str, name: str) -> str:
    """Return what a test's frame is called; the only one of a test as the test is."""
    return f"{place}, {name}" if name else place


def _wrong(expect: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    wrong = [
        f"{key} is {_show(found[0])}, {_show(expected)} is expected"
        for key, expected in expect.items()
        if expected not in (found := _answers(said, key))
    ]
    if wrong:
        yield f"{', '.join(wrong)}; {said['verdict']} by reason {said['reason']}"


def _answers(said: Mapping[str, Any], key: str) -> list[Any]:
    """Return what answers a question; the first is shown."""
    if key == _LIMIT:
        return [one["name"] for one in said["limits"]] or [None]
    answers = [said[key], *([said[_ALSO[key]]] if key in _ALSO else [])]
    return [one for one in answers if one is not None] or [None]


def _show(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
