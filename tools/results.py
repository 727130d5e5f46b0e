"""What test runners printed: pytest's closing lines, every failure and skip with its reason, and what took long."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KINDS = "passed|failed|skipped|errors?|xfailed|xpassed|deselected|warnings?|rerun"
# With rules around it, or bare under pytest's -q; other programs may have put something before it.
_CLOSING = re.compile(rf"(?:^|[\s=])((?:\d+ (?:{_KINDS})(?:, )?)+ in [\d.]+s(?: \([\d:]+\))?)(?: =+)?\s*$")
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|deselected|xfailed|xpassed|errors?)")
# A test has a double colon; molecule's own lines, which begin alike, have none.
_FAILURE = re.compile(r"^\s*(?:FAILED|ERROR) (\S+::.+?)\s*$")
_SKIP = re.compile(r"SKIPPED \[(\d+)\] (\S+): (.+?)\s*$")
# A section of pytest's report; of one a failed try and how the next one ended.
_SECTION = re.compile(r"^=+ ([a-z ]+) =+$")
_TRIES = "rerun test summary info"
_TRY = re.compile(r"^(RERUN|PASSED|FAILED|ERROR) (\S+::.+?)\s*$")
_REASON = re.compile(r"^E\s+(\S.*?)\s*$")
# Of pytest's -rp, and of the header of a run of what failed before.
_PASSED = re.compile(r"^PASSED (\S+::.+?)\s*$")
_ONCE_MORE = re.compile(r"^run-last-failure: ")
# Of go-backend's tests.sh.
_GO_ONCE_MORE = re.compile(r"^UNSTEADY (\S.*?)\s*$")
# Of pytest's --durations, where a test has up to three lines.
_DURATION = re.compile(r"^\s*(\d+\.\d+)s (?:setup|call|teardown)\s+(\S+::.+?)\s*$")
# Of go test -v.
_GO_DURATION = re.compile(r"^--- PASS: (\S+) \((\d+\.\d+)s\)\s*$")


@dataclass
class Results:
    """What the pytest runs of one log add up to.

    Attributes:
        closing: Their closing lines, without the rules around them.
        passed: Tests that passed.
        failed: Tests that failed, or met an error outside of the test.
        skipped: Tests that were skipped.
        deselected: Tests that the command left to another one.
        failures: Name and reason of each test that failed.
        unsteady: Name of each test that passed when it was tried once more, and why it had failed.
        skips: Place and reason of each skip.
        seconds: How long each test took with its fixtures, as far as pytest, or go test, was told to say so.
    """

    closing: list[str] = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    deselected: int = 0
    failures: list[str] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def read(output: str) -> Results:
    """Find every pytest run in an output, also where another program printed it."""
    results = Results()
    lines = _ANSI.sub("", output).splitlines()
    results.unsteady = _unsteady(lines)
    once_more = False
    for line in _outside_tries(lines):
        if skip := _SKIP.search(line):
            results.skips.append(f"{skip[2]}: {skip[3]}")
        elif _ONCE_MORE.match(line):
            once_more = True
        elif once_more and (passed := _PASSED.match(line)):
            _take_back(results, passed[1])
        elif unsteady := _GO_ONCE_MORE.match(line):
            results.unsteady.append(unsteady[1])
        elif failure := _FAILURE.match(line):
            if not once_more:
                results.failures.append(failure[1])
        elif taken := _DURATION.match(line):
            results.seconds[taken[2]] = results.seconds.get(taken[2], 0.0) + float(taken[1])
        elif taken := _GO_DURATION.match(line):
            results.seconds[taken[1]] = float(taken[2])
        elif closing := _CLOSING.search(line):
            results.closing.append(closing[1])
            counts = _COUNT.findall(closing[1])
            # What it passes over is no test that was left out, and what fails has been counted.
            if once_more:
                counts = [one for one in counts if one[1] == "passed"]
            once_more = False
            for count, kind in counts:
                if kind in ("passed", "xfailed"):
                    results.passed += int(count)
                elif kind in ("skipped", "deselected"):
                    setattr(results, kind, getattr(results, kind) + int(count))
                else:
                    results.failed += int(count)
    return results


def _take_back(results: Results, name: str) -> None:
    """Note that a test which had failed has passed."""
    found = [one for one in results.failures if one == name or one.startswith(f"{name} - ")]
    for one in found:
        results.failures.remove(one)
    results.failed -= len(found)
    results.unsteady += found[:1]


def _outside_tries(lines: Iterable[str]) -> Iterator[str]:
    section = ""
    for line in lines:
        if begun := _SECTION.match(line):
            section = begun[1]
        if section != _TRIES:
            yield line


def _unsteady(lines: Iterable[str]) -> list[str]:
    found, section, reason = [], "", ""
    for line in lines:
        if begun := _SECTION.match(line):
            section = begun[1]
        elif section == _TRIES and (ended := _TRY.match(line)):
            if ended[1] == "PASSED":
                found.append(f"{ended[2]} - {reason or 'it did not say why'}")
            reason = ""
        elif section == _TRIES and not reason and (why := _REASON.match(line)):
            reason = why[1]
    return found
