"""A machine within this one on which the agent runs, installed by its module, with a cable to a second NIC."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.machine import Machine, eventually
from tests.support.modules import Run

NIC, PEER = "xdp0", "peer0"
ENTRIES = [{"prefix": "203.0.113.0/24"}, {"prefix": "2001:db8:bad::/48", "action": "pass"}]
PATIENCE = 15.0  # seconds, on a busy machine


class Site(Machine):
    """A machine with a cable, and the agent in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.agent = folder / "lib" / "tripod" / "tripod-host"
        self.command = folder / "sbin" / "tripod-host"
        self.log = folder / "log" / "tripod-watch.log"
        self.pins = Path(f"/sys/fs/bpf/tripod-agent-{os.getpid()}")
        # The sysfs of this network, with the BPF file system that all share.
        self.run("mkdir", "/run/bpf")
        self.run("mount", "--bind", "/sys/fs/bpf", "/run/bpf")
        self.run("mount", "-t", "sysfs", "sysfs", "/sys")
        self.run("mount", "--bind", "/run/bpf", "/sys/fs/bpf")
        self.cable(NIC, PEER)

    def install(self, state: str = "present", check: bool = False, **options: Any) -> Run:
        places = {"path": str(self.agent), "command": str(self.command), "log_dir": str(self.log.parent)}
        return self.module("host_agent", check, state=state, **places, **options)

    def tripod_host(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.within, str(self.command), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def declare(self, source: Path) -> None:
        """Attach the program and fill its policy, as the xdp role does."""
        attached = self.module("xdp_program", interface=NIC, object=str(source), pin_root=str(self.pins))
        assert attached.changed, attached.output
        assert self.module("xdp_map", interface=NIC, pin_root=str(self.pins), entries=ENTRIES).changed

    def mtu(self) -> int:
        return self.ip("link", "show", "dev", NIC)[0]["mtu"]

    def rps(self) -> str:
        return self.run("cat", f"/sys/class/net/{NIC}/queues/rx-0/rps_cpus").strip()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Somebody changes the host meanwhile."""
        holder = subprocess.Popen([*self.within, "flock", "/run/tripod/lock", "cat"], stdin=subprocess.PIPE)
        try:
            free = ["flock", "--nonblock", "/run/tripod/lock", "true"]
            eventually(lambda: subprocess.run([*self.within, *free], check=False).returncode, 3)
            yield
        finally:
            assert holder.stdin
            holder.stdin.close()
            holder.wait()

    def program(self) -> int | None:
        shown = self.ip("link", "show")
        return next((one["xdp"]["prog"]["id"] for one in shown if one["ifname"] == NIC and "xdp" in one), None)

    def policy(self) -> int:
        """How many entries judge packets: those that are saved, where the policy in force is the saved one."""
        said = self.tripod_host("status", "--json", "--kind", "xdp_policy")
        [found] = json.loads(said.stdout)
        documents = self.run("sh", "-c", "cat /etc/tripod/host.d/policy-*.json").strip()
        lists = json.loads(documents)["document"]["lists"] if documents else []
        return sum(len(one["prefixes"]) for one in lists) if found["state"] == "converged" else 0

    def pid(self, service: str = "watch") -> int:
        return int(self.run("cat", f"/run/tripod-{service}/{service}.pid").split()[0])

    def news(self) -> int:
        return self.log.read_text().count("reapplying what")

    def close(self) -> None:
        try:
            self.install("absent")
            self.run("rm", "-rf", str(self.pins))
        finally:
            super().close()

    def metric(self, name: str) -> int:
        """What the watch counted; several interfaces together."""
        lines = self.run("cat", "/run/tripod-watch/metrics.prom").splitlines()
        return sum(int(line.split()[-1]) for line in lines if line.startswith(f"tripod_watch_{name}_total"))
