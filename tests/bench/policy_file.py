"""Weigh 100,000 prefixes as a file against the same as a task's argument, through ansible-playbook, in the same run.

Usage (as root): python -m tests.bench.policy_file OBJECT [PREFIXES]

Prints the seconds of each run of ansible-playbook and the bytes that it brought to the host, and the ratios.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import lab

ROOT = Path(__file__).resolve().parents[2]


def weigh(folder: Path, name: str, tasks: list[dict[str, Any]]) -> tuple[float, int]:
    """Return the seconds that a run of a playbook took, and the bytes that it brought to this host as if to another."""
    brought = folder / f"{name}-brought"
    playbook = folder / f"{name}.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_KEEP_REMOTE_FILES": "1",
        "ANSIBLE_PIPELINING": "0",
        "ANSIBLE_REMOTE_TEMP": str(brought),
    }
    environment.pop("ANSIBLE_CONFIG", None)
    words = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", str(playbook)]
    begin = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - begin
    if done.returncode or "changed=0" in done.stdout:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return seconds, sum(path.stat().st_size for path in brought.rglob("*") if path.is_file())


def main() -> None:
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    prefixes = [f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in range(count)]
    with tempfile.TemporaryDirectory() as name, lab.cable() as cable:
        folder = Path(name)
        desired = Desired(
            cable.nic,
            object=sys.argv[1],
            pin_root=f"/sys/fs/bpf/tripod-bench-{os.getpid()}",
            state_directory=f"{name}/host.d",
        )
        options = {
            "interface": cable.nic,
            "pin_root": desired.pin_root,
            "state_dir": desired.state_directory,
            "guard": "never",
        }
        (folder / "acl").write_text("".join(f"{prefix} drop\n" for prefix in prefixes))
        entries = [{"prefix": prefix, "action": "pass"} for prefix in prefixes]
        (folder / "entries.yml").write_text(yaml.safe_dump({"entries": entries}))
        shipped = {"src": str(folder / "acl"), "dest": str(folder / "shipped"), "mode": "0600"}
        by_file = [
            {"ansible.builtin.copy": shipped},
            {"tripod.baremetal.xdp_map": {**options, "src": shipped["dest"]}},
        ]
        by_argument = [
            {"ansible.builtin.include_vars": {"file": str(folder / "entries.yml")}},
            {"tripod.baremetal.xdp_map": {**options, "entries": "{{ entries }}"}},
        ]
        converge(XdpProgram(desired), desired, Host())
        try:
            file, argument = weigh(folder, "file", by_file), weigh(folder, "argument", by_argument)
        finally:
            gone = Desired(cable.nic, present=False, pin_root=desired.pin_root, state_directory=f"{name}/host.d")
            converge(XdpProgram(gone), gone, Host())
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(desired.pin_root)
    print(f"{count} prefixes by ansible-playbook")
    print(f"time  file {file[0]:7.1f} s    argument {argument[0]:7.1f} s    ratio {file[0] / argument[0]:.2f}")
    mib = (file[1] / 2**20, argument[1] / 2**20)
    print(f"size  file {mib[0]:7.1f} MiB  argument {mib[1]:7.1f} MiB  ratio {mib[0] / mib[1]:.2f}")


if __name__ == "__main__":
    main()
