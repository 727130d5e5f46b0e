"""Programs of go-backend, built on this machine; static, so that they run on any other of its kind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_SERVICE = Path(__file__).resolve().parents[2] / "files" / "services" / "go-backend"


def build(scratch: Path, package: str, tests: bool = False) -> Path:
    """Build a package's program, or its tests, and return where that is.

    Args:
        scratch: Where it goes, with what Go keeps from one build to the next unless it has a place for that.
        package: Its directory in the service's, such as ``./cmd/go-backend``.
        tests: Whether to build its tests.

    Raises:
        SystemExit: There is no Go.
    """
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        raise SystemExit("go is not installed: apt-get install golang-go")
    target = scratch / f"{Path(package).name}{'.test' if tests else ''}"
    words = [go, *(("test", "-c") if tests else ("build",)), "-modcacherw", "-o", str(target), package]
    # Root may have no home, where Go keeps what it has built.
    environment = {"GOCACHE": f"{scratch}/cache", "GOPATH": f"{scratch}/path", **os.environ, "CGO_ENABLED": "0"}
    subprocess.run(words, check=True, cwd=_SERVICE, env=environment)
    return target
