"""What test runners printed: pytest's closing lines and every skip with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_KINDS = "passed|failed|skipped|errors?|xfailed|xpassed|deselected|warnings?"
# With rules around it, or bare under pytest's -q; other programs may have put something before it.
_CLOSING = re.compile(rf"(?:^|[\s=])((?:\d+ (?:{_KINDS})(?:, )?)+ in [\d.]+s(?: \([\d:]+\))?)(?: =+)?\s*$")
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|xfailed|xpassed|errors?)")
_SKIP = re.compile(r"SKIPPED \[(\d+)\] (\S+): (.+?)\s*$")


@dataclass
class Results:
    """What the pytest runs of one log add up to.

    Attributes:
        closing: Their closing lines, without the rules around them.
        passed: Tests that passed.
        failed: Tests that failed, or met an error outside of the test.
        skipped: Tests that were skipped.
        skips: Place and reason of each skip.
    """

    closing: list[str] = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    skips: list[str] = field(default_factory=list)


def read(output: str) -> Results:
    """Find every pytest run in an output, also where another program printed it."""
    results = Results()
    for line in _ANSI.sub("", output).splitlines():
        if skip := _SKIP.search(line):
            results.skips.append(f"{skip[2]}: {skip[3]}")
        elif closing := _CLOSING.search(line):
            results.closing.append(closing[1])
            for count, kind in _COUNT.findall(closing[1]):
                if kind in ("passed", "xfailed"):
                    results.passed += int(count)
                elif kind == "skipped":
                    results.skipped += int(count)
                else:
                    results.failed += int(count)
    return results
