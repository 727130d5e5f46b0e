"""A machine within this one: a network, a /run, an /etc and a /var/lib of its own, on the same kernel and bpffs."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.modules import Run, run_module
from tools.paths import CACHE


def eventually(true: Callable[[], Any], seconds: float) -> float:
    """Wait until it is true, and return how long that took."""
    begin, pause = time.monotonic(), 0.001
    while not true():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s"
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    return time.monotonic() - begin


@contextmanager
def on_disk() -> Iterator[Path]:
    """Yield a directory for a /boot: /tmp may be a tmpfs, as Debian 13's is, and of that grub-probe finds no device."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="tests-") as place:
        yield Path(place)


class Machine:
    """Namespaces that end with the process that holds them; what runs within has to be ended by who started it."""

    # Those that are its own.
    namespaces: tuple[str, ...] = ("--mount", "--net")

    def __init__(self) -> None:
        self.holder = subprocess.Popen(["unshare", *self.namespaces, "sleep", "infinity"])
        own = f"/proc/{self.holder.pid}"
        eventually(lambda: os.readlink(f"{own}/ns/net") != os.readlink("/proc/self/ns/net"), 5)
        eventually(lambda: Path(f"{own}/comm").read_text() == "sleep\n", 5)
        for directory in ("/run", "/var/lib"):
            self.run("mount", "-t", "tmpfs", "tmpfs", directory)
        self.run("mkdir", "/run/upper", "/run/work")
        layers = "lowerdir=/etc,upperdir=/run/upper,workdir=/run/work"
        self.run("mount", "-t", "overlay", "overlay", "-o", layers, "/etc")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def within(self) -> list[str]:
        """The command line that leads into it."""
        return ["nsenter", "--target", str(self.first), *self.namespaces, f"--wd={os.getcwd()}"]

    @property
    def first(self) -> int:
        """The first process within it."""
        return self.holder.pid

    @property
    def filesystem(self) -> Path:
        """Its files, as they are seen from here."""
        return Path(f"/proc/{self.first}/root")

    def run(self, *words: str) -> str:
        """Run a command and return what it says."""
        return subprocess.run([*self.within, *words], check=True, capture_output=True, text=True).stdout

    def ip(self, *words: str) -> Any:
        """Run iproute2 and return what it prints as JSON."""
        return json.loads(self.run("ip", "-j", *words) or "[]")

    def cable(self, nic: str, peer: str, queues: int = 2) -> None:
        """Lay a cable between two NICs and set both up."""
        ends = ("numrxqueues", str(queues), "numtxqueues", str(queues))
        self.run("ip", "link", "add", nic, *ends, "type", "veth", "peer", "name", peer, *ends)
        for link in (peer, nic):
            self.run("ip", "link", "set", link, "up")

    def module(self, name: str, check: bool = False, **options: Any) -> Run:
        """Run a module of the collection."""
        return run_module(name, options, check=check, within=self.within)

    def close(self) -> None:
        """End it."""
        self.holder.kill()
        self.holder.wait()
