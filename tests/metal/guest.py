"""What several files ask of the guest, and of what a playbook said of it."""

from __future__ import annotations

import re
from typing import Any


def allowed(host: Any, process: int, what: str) -> str:
    """Return the CPUs (``Cpus``) or memory nodes (``Mems``) that the kernel allows a process."""
    found = re.search(rf"^{what}_allowed_list:\s*(\S+)", host.file(f"/proc/{process}/status").content_string, re.M)
    assert found
    return found[1]


def kernel(host: Any) -> tuple[int, int]:
    """Return the release of the guest's kernel, such as ``(6, 12)``."""
    major, minor = re.match(r"(\d+)\.(\d+)", host.check_output("uname --kernel-release")).groups()
    return int(major), int(minor)


def result_of(reported: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a playbook said of the task of a name."""
    [task] = [task for play in reported["plays"] for task in play["tasks"] if task["task"]["name"] == name]
    [result] = task["hosts"].values()
    return result


def failures(reported: dict[str, Any]) -> str:
    """Everything that failed tasks of a playbook said."""
    return " ".join(str(one.get("msg")) for one in _results(reported) if one.get("failed"))


def warnings(reported: dict[str, Any]) -> str:
    """Everything that tasks of a playbook warned of."""
    return " ".join(word for one in _results(reported) for word in one.get("warnings", []))


def _results(reported: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for play in reported["plays"] for task in play["tasks"] for one in task["hosts"].values()]
