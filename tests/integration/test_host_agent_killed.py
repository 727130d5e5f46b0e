"""The agent's module killed at every moment: the next run installs it, or removes it, and no trace stays."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent_site import PATIENCE, Site
from tests.support import forked
from tests.support.machine import eventually
from tests.support.sweep import Moment, sweep

STAY = ("export", "keep", "policy", "watch")  # services that run all the time
OTHER = "org.example=other"  # a label: what runs with another one is restarted


class Bench:
    """A machine, and the module in processes of their own there, without Ansible."""

    def __init__(self, site: Site) -> None:
        self.site = site
        forked.module("host_agent")

    def options(self, **more: Any) -> dict[str, Any]:
        site = self.site
        return {"path": str(site.agent), "command": str(site.command), "log_dir": str(site.log.parent), **more}

    def call(self, **more: Any) -> None:
        """In a process that can be killed."""
        forked.enter(self.site.holder.pid)
        forked.run("host_agent", self.options(**more))

    def again(self, **more: Any) -> dict[str, Any]:
        said = forked.answer("host_agent", self.options(**more), lambda: forked.enter(self.site.holder.pid))
        assert not said.get("failed"), said
        return said

    def processes(self) -> list[int]:
        """What runs of the agent, whoever knows of it."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if str(self.site.agent) in words:
                found.append(int(place.name))
        return found

    def files(self) -> list[str]:
        here = [str(path.relative_to(self.site.folder)) for path in self.site.folder.rglob("*") if not path.is_dir()]
        return sorted([*here, *self.site.run("find", "/run", "-xdev", "-mindepth", "1", "-name", "*tripod-*").split()])

    def clear(self) -> None:
        """Take all away, by other means than those under test."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        eventually(lambda: not self.processes(), PATIENCE)
        for place in ("lib", "sbin", "log"):
            shutil.rmtree(self.site.folder / place, ignore_errors=True)
        self.site.run("rm", "-rf", *(f"/run/tripod-{name}" for name in STAY))

    def present(self) -> None:
        assert not (changes := self.again()["changes"]), changes
        assert len(self.processes()) == len(STAY)
        assert self.files() == [
            *(f"/run/tripod-{name}" for name in STAY),
            "lib/tripod/tripod-host",
            *(f"log/tripod-{name}.log" for name in STAY),
            "sbin/tripod-host",
        ]

    def absent(self) -> None:
        assert self.again(state="absent")["changed"] in (True, False)
        assert self.processes() == []
        assert self.files() == []
        assert not (self.site.folder / "lib" / "tripod").exists()
        assert not self.again(state="absent")["changed"]


@pytest.fixture
def bench(site) -> Bench:
    return Bench(site)


@pytest.fixture
def tally(capsys):
    """Counts the moments, and those at which something was wrong; every one is tried before the test fails."""
    moments: list[str] = []
    bad: list[str] = []

    def check(moment: Moment, *steps: Callable[[], Any]) -> None:
        moments.append(str(moment))
        try:
            for step in steps:
                step()
        except (AssertionError, OSError) as error:
            bad.append(f"{moment}: {type(error).__name__}: {str(error)[:400]}")

    yield check
    with capsys.disabled():
        print(f" [{len(moments)} moments, {len(bad)} bad]", end="")
    assert not bad, f"{len(bad)} of {len(moments)} moments:\n" + "\n".join(bad)


@pytest.mark.parametrize("following", ["absent", pytest.param("present", marks=pytest.mark.full)])
def test_an_installation_that_was_killed_is_removed_or_finished_by_the_next_run(bench, tally, following):
    for moment in sweep(bench.call, 30):
        # What is removed at once has had no time to note its processes.
        steps = [bench.absent] if following == "absent" else [bench.again, bench.present]
        tally(moment, *steps)
        bench.clear()


def test_an_upgrade_that_was_killed_is_finished_by_the_next_run(bench, tally):
    def older() -> None:
        bench.clear()
        bench.again(label=OTHER)
        with bench.site.agent.open("ab") as archive:
            archive.write(b"\0")  # another digest; what it runs is the same

    older()
    for moment in sweep(bench.call, 20):
        tally(moment, bench.again, bench.present)
        older()


@pytest.mark.parametrize("following", [pytest.param("absent", marks=pytest.mark.full), "present"])
def test_a_removal_that_was_killed_is_finished_or_undone_by_the_next_run(bench, tally, following):
    bench.again()
    for moment in sweep(lambda: bench.call(state="absent"), 14):
        steps = [bench.absent] if following == "absent" else [bench.again, bench.present]
        tally(moment, *steps)
        bench.clear()
        bench.again()
