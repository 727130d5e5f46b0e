"""The collection's modules as Ansible runs them on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import ansible_server

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180.0  # that a task may take


@dataclass(frozen=True)
class Run:
    """One task.

    Attributes:
        result: What the module returned.
        failed: Whether the task failed.
        output: Everything that Ansible printed.
    """

    result: Mapping[str, Any]
    failed: bool
    output: str

    @property
    def changed(self) -> bool:
        """Whether the task changed something, or would have in check mode."""
        return bool(self.result["changed"])


def environment() -> dict[str, str]:
    """Return that of a task: its answer is to be read by a program."""
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
    }


def run_module(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    interpreter: str = sys.executable,
    verbose: bool = False,
    within: Sequence[str] = (),
) -> Run:
    """Run a module on this machine.

    Args:
        name: Of the module, without the collection's.
        options: Its options.
        check: Whether to run in check mode.
        interpreter: That of these tests unless another is named.
        verbose: Whether to hear what Ansible does.
        within: Command line that goes before Ansible's, such as nsenter's.
    """
    words = [
        *("localhost", "-i", "localhost,", "-c", "local"),
        *("-e", f"ansible_python_interpreter={interpreter}", "-m", f"tripod.baremetal.{name}"),
        *(("-a", json.dumps(options)) if options else ()),
        *("--diff", "-vvv" if verbose else "-v"),
        *["--check"] * check,
    ]
    child = environment()
    place = ansible_server.within(within)
    if place is None:
        command = [*within, str(Path(sys.executable).with_name("ansible")), *words]
        ran = subprocess.run(command, cwd=ROOT, env=child, capture_output=True, text=True, timeout=SECONDS, check=False)
        done = ansible_server.Done(ran.returncode, ran.stdout, ran.stderr)
    else:
        done = ansible_server.server(child).run(words, child, place, SECONDS)
    answer = re.search(r"^localhost \| (\w+)!? => ", done.stdout, re.MULTILINE)
    assert answer, f"Ansible returned nothing:\n{done.stdout}{done.stderr}"
    result, _end = json.JSONDecoder().raw_decode(done.stdout, answer.end())
    return Run(result, answer[1] not in ("SUCCESS", "CHANGED"), done.stdout + done.stderr)
