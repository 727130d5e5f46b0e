"""Run the tests in stages: ``python3 -m tools.check [group ...]``.

Independent stages run two at a time, and beside them one that has no deadlines, at the lowest priority; some of these
wait for the stage that has the machine to itself. The first failure lets running stages end and starts no other. What
was started is stopped again, whatever happens.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from . import engine, results
from .bootstrap import bootstrap
from .console import Failure, duration, guarded, say, step
from .paths import LOGS, VENV
from .run import allow_children, apt_install, logged, require_space, stop_children, sudo_needs_password
from .stages import STAGES, Stage
from .vm.base import TOOLS as VM_TOOLS
from .vm.machine import Machine

_KERNEL_TOOLS = [
    "bpftool",
    "clang",
    "ethtool",
    "grub-common",
    "iproute2",
    "kmod",
    "procps",
    "python3-pyroute2",
    "systemd",  # for its reader of sysctl files
]
_SITE_TOOLS = ["bpftool", "chromium", "curl", "iproute2", "libnss3-tools", "nftables", "openssl", "procps"]
HOST_TOOLS = {
    "arm64": ["arch-test", "bpftool", "mmdebstrap"],
    # xdp-filter is what the XDP program is weighed against.
    "bench": [
        "bpftool",
        "clang",
        "ethtool",
        "iproute2",
        "libbpf-dev",
        "libxdp-dev",
        "llvm",
        "nginx",
        "xdp-tools",
        *VM_TOOLS,
    ],
    "gates": ["shellcheck"],
    # Its hosts have no mirror, and see the packages of this machine.
    "hosts": ["iproute2", "libbpf1", "nftables", "nginx", "python3-cryptography", "python3-pyroute2"],
    "integration": [*_KERNEL_TOOLS, "curl", "nftables", "python3-apt"],
    "kernels": VM_TOOLS,
    "killed": _KERNEL_TOOLS,
    "metal": VM_TOOLS,
    "ways": ["ethtool", "grub-common", "iproute2", "python3-apt"],
    "metal-full": VM_TOOLS,
    "services": ["python3-apt"],
    "site": _SITE_TOOLS,
    "site-full": _SITE_TOOLS,
}
# Four containers in an emulated machine take longer than all the rest, and so do kills at every moment; figures are for
# those who compare.
LONG = {
    "cores": "make test-cores",
    "ways": "make test-ways",
    "integration-full": "make test-integration-full",
    "hosts": "make test-hosts",
    "arm64": "make test-arm64",
    "kernels": "make test-kernels",
    "metal-full": "make test-metal-full",
    "site-full": "make test-site-full",
    "killed": "make test-killed",
    "bench": "make bench",
}
# Of all that CI runs, on two CPUs, with 2 to spare of those that it has; a longer run is a warning.
MINUTES = 58
AT_ONCE = 2
LOWEST_PRIORITY = 19
SLOWEST = 10
SECONDS_BETWEEN_SIGNS_OF_LIFE = 60


@dataclass
class Record:
    """How a stage went."""

    stage: Stage
    seconds: float = 0.0
    error: str | None = None
    results: results.Results | None = None

    @property
    def is_late(self) -> bool:
        """Whether it took longer than its budget."""
        return self.seconds > self.stage.minutes * 60


def selected(groups: Iterable[str]) -> list[Stage]:
    """Return the stages of the groups, or of those names, and all that they come after, in the order of ``STAGES``."""
    by_name = {stage.name: stage for stage in STAGES}
    wanted: set[str] = set()
    pending = [stage.name for stage in STAGES if {stage.group, stage.name}.intersection(groups)]
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending.extend(by_name[name].after)
    return [stage for stage in STAGES if stage.name in wanted]


def run_stages(stages: Sequence[Stage], keep_going: bool = False) -> list[Record]:
    """Run the stages, two at a time or what takes no more, until all are done or one has failed.

    Args:
        stages: In the order of preference.
        keep_going: After a failure, run what does not depend on it.
    """
    waiting, records = list(stages), []
    running: dict[Future[Record], Stage] = {}
    started: dict[str, float] = {}
    succeeded: set[str] = set()
    failed = False
    # What may run at once _startable() says; more than a thread for each there cannot be.
    with ThreadPoolExecutor(len(stages) or 1) as pool, ThreadPoolExecutor(1, initializer=_give_way) as patient:
        try:
            while running or (waiting and not failed):
                for stage in [] if failed else _startable(waiting, list(running.values()), succeeded):
                    waiting.remove(stage)
                    say(f"==> {stage.name}")
                    started[stage.name] = time.monotonic()
                    running[(patient if stage.patient else pool).submit(_run, stage)] = stage
                if not running:
                    break
                done, _pending = wait(running, timeout=SECONDS_BETWEEN_SIGNS_OF_LIFE, return_when=FIRST_COMPLETED)
                if not done:
                    for stage in running.values():
                        so_far = duration(time.monotonic() - started[stage.name])
                        say(f"    {stage.name}: {so_far}, {_last_line(stage)}")
                for future in done:
                    del running[future]
                    record = future.result()
                    records.append(record)
                    failed = failed or (record.error is not None and not keep_going)
                    succeeded |= set() if record.error else {record.stage.name}
        except BaseException:
            stop_children()
            raise
    return records


def _give_way() -> None:
    # Linux has a priority for each thread, which the commands that it starts inherit.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)


def _startable(waiting: Sequence[Stage], running: Sequence[Stage], succeeded: set[str]) -> list[Stage]:
    held = [stage for stage in waiting if stage.beside]
    if any(stage.alone for stage in running):
        return [] if len(running) > 1 else _beside(running[0], held, succeeded)
    chosen: list[Stage] = []
    mixed = any(other.group != "services" and not (other.alone or other.patient) for other in waiting)
    for stage in waiting:
        together = [other for other in (*running, *chosen) if other.patient == stage.patient]
        room = (1 if stage.patient else AT_ONCE) - sum(other.share for other in together)
        # Half of the room for each kind of work, while there are two: two image builds at once slow each other.
        crowded = stage.group == "services" and any(other.group == "services" for other in together) and mixed
        if room < stage.share or crowded or not set(stage.after) <= succeeded:
            continue
        if stage in held and any(other.name == stage.beside for other in waiting):
            continue
        # Those that it keeps apart from come first, while there is anything to wait for.
        if set(stage.apart) & {other.name for other in (*running, *chosen, *(waiting if running or chosen else ()))}:
            continue
        if any(stage.name in other.apart for other in (*running, *chosen)):
            continue
        if stage.alone:
            # Those that share come first.
            if not running and not chosen and all(other.alone or other.beside == stage.name for other in waiting):
                return [stage, *_beside(stage, held, succeeded)]
            continue
        chosen.append(stage)
    # Where what they would run beside cannot begin, they are all that is left.
    return chosen if chosen or running else [stage for stage in held if set(stage.after) <= succeeded][:1]


def _beside(alone: Stage, held: Sequence[Stage], succeeded: set[str]) -> list[Stage]:
    return [stage for stage in held if stage.beside == alone.name and set(stage.after) <= succeeded][:1]


def _run(stage: Stage) -> Record:
    record = Record(stage)
    begin = time.monotonic()
    words = ""
    try:
        words = stage.run()
    except Failure as failure:
        record.error = str(failure)
    except Exception as error:  # A stage must end in a record, or its failure would pass unseen.
        record.error = f"{type(error).__name__}: {error}"
    record.seconds = time.monotonic() - begin
    log = LOGS / f"{stage.name}.log"
    if log.exists():
        record.results = results.read(log.read_text(encoding="utf-8", errors="replace"))
        words = "; ".join(filter(None, [words, *record.results.closing]))
    say(f"    {stage.name}: {'FAILED' if record.error else 'ok'}, {duration(record.seconds)}{words and ', ' + words}")
    if record.error:
        say(record.error)
    return record


def _last_line(stage: Stage) -> str:
    log = LOGS / f"{stage.name}.log"
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")[-40:] if log.exists() else []
    return next((line.strip()[:100] for line in reversed(lines) if line.strip()), "no output yet")


def summarise(stages: Sequence[Stage], records: Sequence[Record], seconds: float, minutes: float | None = None) -> None:
    """Print every stage's time and result, what is slow, every skip and failure, and the total of all tests.

    Args:
        stages: All that were to run.
        records: Of those that ran.
        seconds: All that the run took.
        minutes: The run's budget, if it has one.
    """
    by_name = {record.stage.name: record for record in records}
    say(f"\nStages, {duration(seconds)} in all" + (f" of {duration(minutes * 60)}" if minutes else ""))
    for stage in stages:
        record = by_name.get(stage.name)
        verdict = "not run" if record is None else "FAILED" if record.error else "ok"
        taken = duration(record.seconds) if record else ""
        say(f"  {stage.name:<15} {verdict:<8} {taken:>12} of {duration(stage.minutes * 60)}")
    for warning in _warnings(records, seconds, minutes):
        say(f"  warning: {warning}")
    if slow := slowest(records):
        say("\nSlowest tests")
    for name, test, taken_by_test in slow:
        say(f"  {duration(taken_by_test):>12}  {name}: {test}")
    found = [record.results for record in records if record.results is not None]
    for record in records:
        if record.results and record.results.deselected:
            where = f", which are run by: {record.stage.rest}" if record.stage.rest else ""
            say(f"\n{record.stage.name} left out {record.results.deselected} tests{where}")
    skips = [skip for result in found for skip in result.skips]
    say("\nSkipped tests" + ("" if skips else ": none"))
    for skip in skips:
        say(f"  {skip}")
    for record in records:
        for closing in record.results.closing if record.results else []:
            say(f"\n{record.stage.name}:\n===== {closing} =====")
    if unsteady := [test for result in found for test in result.unsteady]:
        say("\nUnsteady tests, which failed, and passed when they were tried once more: each is a fault to be found")
    for test in unsteady:
        say(f"  {test}")
    # Next to the end, which is what is left of a long output.
    if failures := [failure for result in found for failure in result.failures]:
        say("\nFailed tests")
    for failure in failures:
        say(f"  {failure}")
    total = {kind: sum(getattr(result, kind) for result in found) for kind in ("passed", "failed", "skipped")}
    say("\n" + ", ".join(f"{count} {kind}" for kind, count in total.items()))


def _warnings(records: Sequence[Record], seconds: float, minutes: float | None) -> Iterator[str]:
    for record in records:
        if record.is_late:
            budget = duration(record.stage.minutes * 60)
            yield (
                f"{record.stage.name} took {duration(record.seconds)}, its budget is {budget}: "
                "shorten it, leave tests to another command, or raise the budget in tools/stages.py"
            )
    if minutes and seconds > minutes * 60:
        yield f"all stages took {duration(seconds)}, their budget is {duration(minutes * 60)}: see the slowest ones"


def slowest(records: Iterable[Record], count: int = SLOWEST) -> list[tuple[str, str, float]]:
    """Return the tests that took longest, over all stages: each one's stage, name and seconds."""
    every = [
        (record.stage.name, test, seconds)
        for record in records
        if record.results
        for test, seconds in record.results.seconds.items()
    ]
    return sorted(every, key=lambda one: -one[2])[:count]


def check(groups: Sequence[str], keep_going: bool = False, minutes: float | None = None) -> int:
    """Run the groups' stages with what they need, and leave the machine as it was found.

    Args:
        groups: Of the stages to run.
        keep_going: After a failure, run what does not depend on it.
        minutes: The whole run's budget, if it has one.

    Returns:
        0 where every stage succeeded, else 1.
    """
    begin = time.monotonic()
    stages = selected(groups)
    needed = {stage.group for stage in stages}
    if needed - {"gates", "unit"} and sudo_needs_password():
        raise Failure("the tests need root and sudo asks for a password: run 'sudo -v' first, or run them as root")
    bootstrap(test=True)
    tools = sorted({tool for group in needed for tool in HOST_TOOLS.get(group, ())})
    with step("host tools") as done:
        apt_install(tools, "the tests")
        done(", ".join(tools) or "none needed")
    if "services" in needed:
        require_space(8 * 2**30, "building the images")
    uses_engine = bool(needed - {"gates", "unit"})
    engine_was_there = not uses_engine or engine.answers()
    stands: list[str] | None = None
    vm = Machine("metal")
    vm_was_there = vm.exists
    records: list[Record] = []
    clean = False
    try:
        stands = _standing_site() if uses_engine else []
        records = run_stages(stages, keep_going)
    finally:
        allow_children()
        # Where nobody could look, there may be one.
        torn_down = stands is None or bool(stands) or not uses_engine or _site_removed(records)
        # Its scenario removes it, unless it was ended in the middle.
        clean = vm_was_there or not vm.exists or _tidied("remove the VM that the tests made", vm.destroy)
        clean &= _clean_up(teardown=not torn_down, stop_engine=not engine_was_there)
    summarise(stages, records, time.monotonic() - begin, minutes)
    return 0 if clean and len(records) == len(stages) and not any(record.error for record in records) else 1


def _standing_site() -> list[str]:
    if engine.sleeps():
        with step("start the Docker Engine, to see whether what it holds is a site's"):
            engine.start()
    stands = engine.site_remains()
    if stands:
        say(f"a site is on this machine ({', '.join(stands)}): it is tested as it stands, and stays")
    return stands


def _site_removed(records: Sequence[Record]) -> bool:
    # The site's own tests end with its teardown, unless they took what this run had left for somebody's site.
    passed = any(record.stage.name in ("site", "site-full") and record.error is None for record in records)
    try:
        return passed and not engine.site_remains()
    except Failure as failure:
        say(f"cleaning up: {failure}")
        return False


def _clean_up(teardown: bool, stop_engine: bool) -> bool:
    """Leave nothing behind that runs; return whether that went well."""
    well = True
    if teardown and _engine_runs():
        # There was no site before, which was seen and not only not seen, so the data is the tests' as well.
        playbook: list[str | Path] = [
            VENV / "bin" / "ansible-playbook",
            "playbooks/teardown.yml",
            "-e",
            "teardown_data=true",
        ]
        well &= _tidied("tear down what the tests made", lambda: logged("teardown", playbook))
    if stop_engine and _engine_runs():
        well &= _tidied("stop the Docker Engine that the tests started", engine.stop)
    return well


def _engine_runs() -> bool:
    try:
        return engine.answers()
    except Failure as failure:  # It runs, and what follows is to say what that prevents.
        say(f"cleaning up: {failure}")
        return True


def _tidied(what: str, act: Callable[[], object]) -> bool:
    try:
        with step(what):
            act()
    except (Failure, OSError) as failure:  # The summary, and what else is to be stopped, are still to come.
        say(f"cleaning up: {failure}")
        return False
    return True


def main() -> int:
    """Run from the command line."""
    groups = list(dict.fromkeys(stage.group for stage in STAGES))
    parser = argparse.ArgumentParser(prog="python3 -m tools.check", description=__doc__)
    parser.add_argument(
        "groups",
        nargs="*",
        metavar="group",
        help=f"any of {', '.join(groups)}, or a stage's name; all but {', '.join(LONG)} if none is named",
    )
    parser.add_argument("--keep-going", action="store_true", help="after a failure, run what does not depend on it")
    options = parser.parse_args()
    chosen = options.groups
    if unknown := set(chosen) - set(groups) - {stage.name for stage in STAGES}:
        parser.error(f"no group {', '.join(sorted(unknown))}: choose from {', '.join(groups)}")
    # The default action would end this process without its cleaning up.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    if not chosen:
        chosen = [group for group in groups if group not in LONG]
        say(f"not part of this run: {', '.join(f'{group} ({command})' for group, command in LONG.items())}")
    return check(chosen, options.keep_going, None if options.groups else MINUTES)


if __name__ == "__main__":
    guarded(main)
