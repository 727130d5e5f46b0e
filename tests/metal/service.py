"""go-backend on the guest: a unit of systemd instead of a container, with its user and its capabilities."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.metal.conftest import Tried
from tests.support.site import eventually

PROGRAM, UNIT = "/var/tmp/tripod-go-backend", "tripod-go-backend-test"
WORKERS = "/etc/tripod/workers/workers.json"
HTTP, GRPC = "127.0.0.1:18080", "127.0.0.1:15051"
USER = 562
CAPABILITIES = "CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK"
CPUS = "2-3"
# Where the unit sees the pins, as the root of the BPF file system is for root alone.
PINS = "/run/tripod-bpf"
PATIENCE = 120.0  # seconds, in an emulated machine
_GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=60).read().decode())"
_SAMPLE = re.compile(r"(tripod_worker_\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Service:
    """The service, with the workers that its file names.

    Args:
        vm: The guest.
        host: The same, by testinfra.
        program: Built for it, on this machine.
    """

    def __init__(self, vm: Tried, host: Any, program: Path) -> None:
        self._host = host
        assert vm.copy(str(program), f":{PROGRAM}") == 0

    def start(self) -> None:
        """Start it, and wait until it has read its file."""
        properties = {
            "User": USER,
            "Group": USER,
            "AmbientCapabilities": CAPABILITIES,
            "CapabilityBoundingSet": CAPABILITIES,
            "AllowedCPUs": CPUS,
            "BindReadOnlyPaths": f"/sys/fs/bpf/tripod:{PINS}",
        }
        variables = {"XDP_PIN_ROOT": PINS, "HTTP_ADDRESS": HTTP, "GRPC_ADDRESS": GRPC, "WORKERS_FILE": WORKERS}
        words = [f"--property='{name}={value}'" for name, value in properties.items()]
        words += [f"--setenv={name}={value}" for name, value in variables.items()]
        self._host.check_output(f"systemd-run --quiet --collect --unit {UNIT} {' '.join(words)} {PROGRAM}")
        self.wait()

    def follow(self) -> None:
        """Let it read its file again, and wait until it has."""
        self._host.check_output(f"systemctl kill --signal HUP --kill-who main {UNIT}")
        self.wait()

    def wait(self) -> None:
        """Wait until what it serves is what its file says."""
        digest = self._host.check_output(f"sha256sum {WORKERS}").split()[0]
        try:
            eventually("the file of workers is carried out", lambda: self.page()["file_sha256"] == digest, PATIENCE)
        except AssertionError as error:
            said = self._host.check_output(f"journalctl --unit {UNIT} --lines 20 --output cat --no-pager")
            raise AssertionError(f"{error}\n{said}") from None

    def stop(self) -> None:
        """End it, if it runs."""
        self._host.run(f"systemctl stop {UNIT}")

    def process(self) -> int:
        """Return its number."""
        return int(self._host.check_output(f"systemctl show --property MainPID --value {UNIT}"))

    def page(self) -> dict[str, Any]:
        """Return what became of its file; nothing where it does not answer yet."""
        asked = self._host.run("python3 -c %s %s", _GET, f"http://{HTTP}/workers")
        return json.loads(asked.stdout) if asked.rc == 0 else {"file_sha256": None}

    def count(self, metric: str, **labels: str) -> dict[str, float]:
        """Return a metric of workers, by the worker, summed over all else.

        Args:
            metric: Its name without ``tripod_worker_``.
            labels: Which it must have.
        """
        found: dict[str, float] = defaultdict(float)
        for name, text, value in _SAMPLE.findall(self._get("/metrics")):
            given = dict(_LABEL.findall(text))
            if name == f"tripod_worker_{metric}" and labels.items() <= given.items():
                found[given["worker"]] += float(value)
        return dict(found)

    def _get(self, path: str) -> str:
        return self._host.check_output("python3 -c %s %s", _GET, f"http://{HTTP}{path}")
