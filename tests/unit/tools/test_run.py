"""Child processes end with the tool that runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARENT = """\
import signal, sys, threading, time
from pathlib import Path
from tools import run
run.LOGS = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))

def tell():
    while not (run.LOGS / "runs").exists() or not run._children:
        time.sleep(0.01)
    (run.LOGS / "pid").write_text(str(next(iter(run._children)).pid))

threading.Thread(target=tell).start()
script = sys.argv[2]
run.logged("child", ["sh", "-c", script], cwd=run.LOGS)
"""


WORK = "trap '{last}echo told >told; exit' TERM; touch runs; while :; do sleep 0.1; done"


@pytest.mark.parametrize(
    "script",
    [
        WORK.format(last=""),
        f'setsid sh -c "{WORK.format(last="")}" & wait',
        # Which takes its time, as whoever unmounts file systems does.
        f'setsid sh -c "{WORK.format(last="sleep 1; ")}" & wait',
    ],
    ids=["itself", "of another session", "and has to tidy up"],
)
def test_a_tool_that_is_told_to_end_ends_what_it_runs_first(tmp_path, script):
    os.mkfifo(tmp_path / "pid")
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path, script], cwd=ROOT) as parent:
        child = int((tmp_path / "pid").read_text())
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(30) == 143
    assert (tmp_path / "told").read_text() == "told\n"
    assert not Path(f"/proc/{child}").exists()
