"""Process 1 of a newcomer's namespaces, as process 1: what is left running is told, and ends with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
# In the background, with nobody's output: as a daemon that a command started and forgot.
FORGETS = "sleep 600 > /dev/null 2>&1 &"


def run(*words: str) -> tuple[int, str]:
    """Return its status and output; it ends by itself, while its input stays open."""
    command = [*NAMESPACES, sys.executable, "-m", "tools.newcomer_init", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("go\n")
        process.stdin.flush()
        return process.wait(60), process.stdout.read()


@pytest.mark.parametrize(
    ("own", "expected"), [(0, 1), pytest.param(3, 3, marks=pytest.mark.full)], ids=["good", "failed"]
)
def test_a_process_that_a_command_left_running_fails_the_run(own, expected):
    status, said = run("--", "sh", "-c", f"{FORGETS} exit {own}")
    assert status == expected
    assert "still runs, and should have been stopped" in said
    assert "sleep 600" in said


def test_a_site_that_was_made_first_may_go_on_running():
    status, said = run("--leaves", "--", "sh", "-c", FORGETS)
    assert status == 0
    assert "still runs" not in said


def test_a_process_that_ended_is_none_that_is_left():
    status, _said = run("--", "sh", "-c", "(sleep 0.1 &) ; sleep 0.5")
    assert status == 0
