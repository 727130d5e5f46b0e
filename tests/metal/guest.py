"""What several files ask of the guest."""

from __future__ import annotations

import re
from typing import Any


def allowed(host: Any, process: int, what: str) -> str:
    """Return the CPUs (``Cpus``) or memory nodes (``Mems``) that the kernel allows a process."""
    found = re.search(rf"^{what}_allowed_list:\s*(\S+)", host.file(f"/proc/{process}/status").content_string, re.M)
    assert found
    return found[1]
