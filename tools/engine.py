"""The Docker Engine as the tests find it, and as they must leave it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .console import Failure
from .run import as_root

PID_FILE = Path("/run/docker.pid")
STOP_SECONDS = 60


def answers() -> bool:
    """Whether an engine runs here."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run([*as_root(), "docker", "info"], capture_output=True, check=False).returncode == 0


def site_remains() -> list[str]:
    """Return the names of containers, running or not, and of data volumes that belong to a site."""
    if not answers():
        return []
    ours = ["--filter", "label=org.tripod.collection"]
    containers = ["ps", "--all", *ours, "--format", "{{.Names}}"]
    volumes = ["volume", "ls", *ours, "--format", "{{.Name}}"]
    return [
        name
        for listing in (containers, volumes)
        for name in subprocess.run(
            [*as_root(), "docker", *listing], capture_output=True, text=True, check=False
        ).stdout.split()
    ]


def stop() -> None:
    """Stop the engine, through systemd where that runs it, else by the number in its pid file.

    Raises:
        Failure: It still runs a minute after it was asked to stop.
    """
    if Path("/run/systemd/system").is_dir():
        subprocess.run([*as_root(), "systemctl", "stop", "docker.socket", "docker.service"], check=False)
        return
    try:
        number = int(PID_FILE.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return
    if Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip() != "dockerd":
        return
    subprocess.run([*as_root(), "kill", f"-{signal.SIGTERM.value}", str(number)], check=False)
    deadline = time.monotonic() + STOP_SECONDS
    while os.path.exists(f"/proc/{number}"):
        if time.monotonic() > deadline:
            raise Failure(f"dockerd (process {number}) still runs {STOP_SECONDS} s after SIGTERM: see its log, end it")
        time.sleep(0.2)
