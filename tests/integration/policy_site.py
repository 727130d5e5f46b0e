"""A machine within this one with a policy on its NIC, and the agent's two processes that have to do with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_client, zipapp
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_shapes import OPERATIONS
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.resource import Request
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.json_schema import faults

from tests.integration import frames, lab
from tests.support.machine import Machine, eventually
from tests.support.modules import Run, run_module

NIC, PEER = "xdp0", "peer0"
SERVICE = 4242  # number of the user that stands for go-backend
BLOCKED, GUEST, OTHER = "203.0.113.1", "192.0.2.77", "198.51.100.1"
INVENTORY = {"lists": [{"name": "bogons", "action": "drop", "prefixes": ["203.0.113.0/24"]}], "default": "pass"}
PACKETS = 30
_STATES = "/etc/tripod/host.d"


def api(*prefixes: str, name: str = "guests", action: str = "drop") -> dict[str, Any]:
    """A document of the API with one list."""
    return {"lists": [{"name": name, "action": action, "prefixes": list(prefixes)}]}


def rights() -> list[str]:
    """The command line that gives what follows the capabilities of its unit, and no other."""
    [service] = [one for one in Request().services if one.name == "tripod-policy"]
    [held] = re.findall(r"^CapabilityBoundingSet=(.*)$", service.unit, re.MULTILINE)
    names = ",".join(f"+{one.removeprefix('CAP_').lower()}" for one in held.split())
    return ["setpriv", "--bounding-set", f"-all,{names}", "--inh-caps", "-all", "--no-new-privs", "--"]


class PolicySite(Machine):
    """Its files are in a root of their own, which the machine's processes see as theirs.

    Args:
        folder: Where the agent's archive and logs go.
        source: The XDP object.
    """

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__()
        self.folder, self.source = folder, source
        self.agent = folder / "tripod-host"
        self.agent.write_bytes(zipapp.build(zipapp.sources(), sys.executable))
        self.agent.chmod(0o755)
        self.root = Path(f"/sys/fs/bpf/tripod-policy-{os.getpid()}")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.run("mkdir", "/run/bpf")
        self.run("mount", "--bind", "/sys/fs/bpf", "/run/bpf")
        self.run("mount", "-t", "sysfs", "sysfs", "/sys")
        self.run("mount", "--bind", "/run/bpf", "/sys/fs/bpf")
        self.cable(NIC, PEER)

    def attach(self, nic: str = NIC, **options: Any) -> None:
        done = self.module(
            "xdp_program", interface=nic, object=str(self.source), pin_root=str(self.root), mode="generic", **options
        )
        assert done.changed, done.output

    def requested(self, document: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """Return what the role gives to the module."""
        return {
            "name": "edge",
            "interfaces": [NIC],
            "policy": document or INVENTORY,
            "pin_root": str(self.root),
            **options,
        }

    def declare(self, document: Mapping[str, Any] | None = None, **options: Any) -> Run:
        """Apply a document of the inventory's, as the role does."""
        done = run_module("xdp_policy", self.requested(document, **options), within=self.within)
        assert not done.failed, done.output
        return done

    def start(self, *names: str) -> None:
        """Start the watch, or what serves policies."""
        commands = {
            "watch": (str(self.agent), "watch", "--pid-file", "/run/watch.pid"),
            "export": (str(self.agent), "policy", "export", "--pid-file", "/run/export.pid"),
            "policy": (*rights(), str(self.agent), "policy", "serve", "--user", str(SERVICE), "--group", str(SERVICE)),
        }
        for name in names:
            with open(self.folder / f"{name}.log", "ab") as log:
                command = [*self.within, *commands[name]]
                self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
        for name in names:
            eventually(self._answers if name == "policy" else partial(self._noted, name), 30)

    def _noted(self, name: str) -> bool:
        """Whether a process has begun, and says so."""
        pid = self.processes[name].pid
        noted = subprocess.run([*self.within, "cat", f"/run/{name}.pid"], capture_output=True, text=True, check=False)
        return noted.stdout.split()[:1] == [str(pid)]

    def _answers(self) -> bool:
        assert self.processes["policy"].poll() is None, self.log("policy")
        try:
            self.call("status")
        except Impossible:
            return False
        return True

    def kill(self, *names: str) -> None:
        for name in names:
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    @property
    def socket(self) -> str:
        return str(Path("/proc", str(self.holder.pid), "root", "run", "tripod-policy", "policy.sock"))

    def call(self, op: str, **options: Any) -> dict[str, Any]:
        """Have an operation carried out; what comes back is as its schema says."""
        result = policy_client.call(self.socket, op, **options)
        assert list(faults(result, OPERATIONS[op].result)) == [], op
        return result

    def put(self, document: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        return self.call("put", policy="edge", document=document, **options)

    def tripod_host(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.within, str(self.agent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def files(self) -> list[str]:
        return sorted(self.run("ls", _STATES).split())

    def file(self, name: str) -> dict[str, Any]:
        return json.loads(self.run("cat", f"{_STATES}/{name}.json"))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Work in the machine's network."""
        namespace = os.open(f"/proc/{self.holder.pid}/ns/net", os.O_RDONLY)
        try:
            with lab.inside(namespace):
                yield
        finally:
            os.close(namespace)

    def fate(self, source: str, nic: str = NIC, peer: str = PEER) -> tuple[str, str]:
        """What becomes of packets of a source: the verdict and reason that were counted for all of them."""
        with self.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind((peer, 0))
            return lab.fate(self.root / nic / "maps/counters", sender, frames.of(source), PACKETS)

    def program(self) -> int:
        return int(self.ip("link", "show", "dev", NIC)[0]["xdp"]["prog"]["id"])

    def run_out(self) -> None:
        """Let the time be over in which changes can be confirmed."""
        self._rewrite_guards(deadline=0.0)

    def _rewrite_guards(self, **fields: Any) -> None:
        for name in self.run("ls", "/var/lib/tripod/guard").split():
            if name.endswith(".json"):
                place = f"/var/lib/tripod/guard/{name}"
                text = json.dumps({**json.loads(self.run("cat", place)), **fields})
                self.run("sh", "-c", f"cat > {place}.new <<'END'\n{text}\nEND\nmv {place}.new {place}")

    def forget_boot(self) -> None:
        """Let every guard be of an earlier boot, and take away what a boot does: processes, pins, /run."""
        self.kill(*self.processes)
        self._rewrite_guards(boot_id="an-earlier-one")
        (self.root / NIC / "link").unlink()
        shutil.rmtree(self.root / NIC)
        self.run("rm", "-rf", "/run/tripod", "/run/tripod-policy")
        eventually(lambda: "xdp" not in self.ip("link", "show", "dev", NIC)[0], 5)

    def close(self) -> None:
        try:
            self.kill(*self.processes)
            shutil.rmtree(self.root, ignore_errors=True)
        finally:
            super().close()
