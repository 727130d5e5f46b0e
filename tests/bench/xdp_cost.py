"""Weigh what it costs to judge a packet against xdp-filter, by BPF_PROG_TEST_RUN, in the same run.

Usage (as root): python -m tests.bench.xdp_cost OBJECT [ROUNDS [PACKETS]]

Each program sees the same packets: a program before it writes the next source into the packet and goes on by a tail
call, before an empty program too, whose cost is subtracted. Rounds of all programs are interleaved, the CPU time of the
thread is taken, and the least of each counts. In brackets: the ratio to xdp-filter, and the goal where there is one.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import xdp_policies, xdp_programs
from tests.bench.xdp_policies import Sent
from tests.bench.xdp_stream import MOST_SOURCES, Stream, compiled, machine, pinned_to
from tests.integration import lab

SOURCES = (1, 64, MOST_SOURCES)
FAMILIES = (4, 6)
XDP_DROP, XDP_PASS = 1, 2
EMPTY, PEER = "empty program", "xdp-filter alw_all"

Goals = Mapping[int, tuple[float, float, float]]
FULL: Mapping[int, Goals] = {
    10_000: {4: (0.25, 0.30, 0.75), 6: (0.45, 0.50, 1.0)},
    100_000: {4: (0.33, 0.40, 0.90), 6: (0.45, 0.50, 1.0)},
}
ACL: Mapping[int, Goals] = {10_000: {}, 100_000: {4: (0.20, 0.25, 0.40)}}
# Of rules that no packet matches (ns, whatever the sources).
RULES = {64: 40.0, 1024: 100.0}


@dataclass(frozen=True)
class Subject:
    """What is weighed.

    Attributes:
        name: Of its line.
        load: Opens it; given the prefixes of a family.
        prefixes: How many it knows.
        sent: Whether the packets' sources are in them, and dropped.
        goals: Ratios to the peer, by family and by number of sources.
        base: Line that it is compared with by ``most``.
        most: That it may cost beyond its base (ns).
    """

    name: str
    load: Callable[[list[str]], AbstractContextManager[int]]
    prefixes: int = 0
    sent: Sent = Sent.MISS
    goals: Goals | None = None
    base: str = ""
    most: float = 0.0


def subjects(content: bytes) -> list[Subject]:
    """Return all lines.

    Args:
        content: The object under test.
    """

    def ours(policy: Callable[[list[str]], dict[str, Any]]) -> Callable[[list[str]], AbstractContextManager[int]]:
        return lambda entries: xdp_programs.ours(content, policy(entries))

    lines = [
        Subject(EMPTY, lambda _entries: xdp_programs.nothing(XDP_PASS)),
        Subject(PEER, lambda _entries: xdp_programs.xdp_filter()),
    ]
    for count in FULL:
        for sent in Sent.MISS, Sent.NEAR, Sent.HIT:
            word = "" if sent is Sent.MISS else f", {sent.value}"
            acl, full = (ACL[count], FULL[count]) if sent is not Sent.NEAR else (None, None)
            lines += [
                Subject(f"release 1.0.0, {count}{word}", xdp_programs.released, count, sent),
                Subject(f"ACL only, {count}{word}", ours(xdp_policies.acl), count, sent, acl),
                Subject(f"full path, {count}{word}", ours(xdp_policies.full), count, sent, full),
            ]
    base = f"full path, {min(FULL)}"
    for rules, most in RULES.items():

        def with_rules(entries: list[str], rules: int = rules) -> dict[str, Any]:
            return xdp_policies.full(entries, rules)

        lines.append(Subject(f"{base}, {rules} rules", ours(with_rules), min(FULL), base=base, most=most))
    return lines


@dataclass(frozen=True)
class Case:
    """One program under one stream of packets."""

    subject: Subject
    family: int
    sources: int
    stream: Stream


@contextlib.contextmanager
def cases(lines: Sequence[Subject]) -> Iterator[list[Case]]:
    """Load every program, and a stream for each number of sources."""
    driver = compiled("sources.bpf.c")
    opened = []
    with contextlib.ExitStack() as stack:
        for family in FAMILIES:
            known = {count: xdp_policies.prefixes(count, family) for count in {line.prefixes for line in lines}}
            sent = {
                (count, kind): xdp_policies.sources(MOST_SOURCES, family, known[count], kind)
                for count, kind in {(line.prefixes, line.sent) for line in lines}
            }
            for line in lines:
                program = stack.enter_context(line.load(known[line.prefixes]))
                for sources in SOURCES:
                    chosen = sent[line.prefixes, line.sent][:sources]
                    stream = stack.enter_context(Stream(driver, family, chosen, program))
                    opened.append(Case(line, family, sources, stream))
        yield opened


def cost(case: Case, packets: int) -> float:
    """Return what a packet costs (ns of this thread's CPU time)."""
    begin = time.thread_time_ns()
    verdict = lab.run_program(case.stream.program, case.stream.frame, packets)
    spent = time.thread_time_ns() - begin
    if verdict != (XDP_DROP if case.subject.sent is Sent.HIT else XDP_PASS):
        raise SystemExit(f"{case.subject.name}: verdict {verdict}")
    return spent / packets


Costs = Mapping[tuple[str, int, int], float]


def table(lines: Sequence[Subject], costs: Costs) -> Iterator[str]:
    """Yield the table of costs net of the empty program's."""
    heads = [f"v{family} {sources}" for family in FAMILIES for sources in SOURCES]
    yield f"{'':33}" + "".join(f"{head:>21}" for head in heads)
    for line in lines:
        cells = []
        for family in FAMILIES:
            for place, sources in enumerate(SOURCES):

                def net(name: str, family: int = family, sources: int = sources) -> float:
                    return costs[name, family, sources] - costs[EMPTY, family, sources]

                if line.name == EMPTY:
                    cells.append(f"{costs[EMPTY, family, sources]:.1f}")
                    continue
                own, peer = net(line.name), net(PEER)
                words = f"{own / peer:.2f}"
                if goals := (line.goals or {}).get(family):
                    words += _compared(own / peer, goals[place], ".2f")
                if line.most:
                    more = own - net(line.base)
                    words = f"{more:+.0f} ns{_compared(more, line.most, '.0f')}"
                cells.append(f"{own:.1f} ({words})")
        yield f"{line.name:33}" + "".join(f"{cell:>21}" for cell in cells)


def drops(costs: Costs) -> Iterator[str]:
    """Yield what a drop costs beside a miss for which the same has been searched."""
    for count in FULL:
        for path in "ACL only", "full path":
            cells = []
            for family in FAMILIES:
                for sources in SOURCES:
                    empty = costs[EMPTY, family, sources]
                    near, hit = (
                        costs[f"{path}, {count}, {kind.value}", family, sources] - empty
                        for kind in (Sent.NEAR, Sent.HIT)
                    )
                    cells.append(f"{hit - near:+.1f} ns ({hit / near:.2f}{_compared(hit / near, 1.0, '.2f')})")
            yield f"{f'{path}, {count}':33}" + "".join(f"{cell:>24}" for cell in cells)


def _compared(found: float, goal: float, form: str) -> str:
    """Say the goal; an exclamation mark where it is missed."""
    return f" of {goal:{form}}{'' if found <= goal else '!'}"


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    packets = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
    lines = subjects(Path(sys.argv[1]).read_bytes())
    found: dict[tuple[str, int, int], list[float]] = {}
    with pinned_to(1), cases(lines) as opened:
        for _round in range(rounds):
            for case in opened:
                key = (case.subject.name, case.family, case.sources)
                found.setdefault(key, []).append(cost(case, packets))
    print(machine())
    print(f"ns a packet above an empty program, {rounds} interleaved rounds of {packets} packets, by number of sources")
    for name, choose in (("least", min), ("median", statistics.median)):
        print(f"\n{name} of the rounds")
        for row in table(lines, {key: choose(values) for key, values in found.items()}):
            print(row.rstrip())
    print("\na drop beside a near miss, by the least of the rounds")
    for row in drops({key: min(values) for key, values in found.items()}):
        print(row)


if __name__ == "__main__":
    main()
