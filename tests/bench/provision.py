"""Weigh a no-change run of provision.yml against an ordinary playbook for much of the same state, in the same run.

Usage: python -m tests.bench.provision INVENTORY HOST [COUNT] [ROUNDS]

HOST of INVENTORY is already as provision.yml wants it with molecule's variables; COUNT (10) names are made for it.
Prints the processor seconds of the control node a host, and the ratio: for one start of ansible-playbook that does
nothing, for the ordinary playbook of 31 tasks, and for ours. The hosts' own work is not counted, and waiting for them
is not work.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VARIABLES = ROOT / "molecule" / "metal" / "group_vars" / "tripod.yml"
# A control node looks up a hundred times a second while it waits, and for an emulated host it waits long.
POLL_SECONDS = "0.1"


def inventory(source: Path, host: str, count: int, target: Path) -> None:
    """Write an inventory in which one host has ``count`` names."""
    output = subprocess.run(
        ["ansible-inventory", "-i", str(source), "--host", host], check=True, capture_output=True, text=True
    ).stdout
    variables = yaml.safe_load(output)
    hosts = {f"{host}-{number}": dict(variables) for number in range(count)}
    target.write_text(yaml.safe_dump({"all": {"children": {"tripod": {"hosts": hosts}}}}))


def weigh(playbook: Path, hosts: Path, log: Path) -> float:
    """Return the processor seconds that a run of a playbook took on this machine.

    Raises:
        SystemExit: The run failed, or changed a host, so that its weight would say nothing.
    """
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["ansible-playbook", "-i", str(hosts), "--forks", "10", "-e", f"@{VARIABLES}", str(playbook)],
            env={**os.environ, "ANSIBLE_INTERNAL_POLL_INTERVAL": POLL_SECONDS},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text()
    if child.returncode or re.search(r"(changed|failed|unreachable)=[1-9]", text):
        raise SystemExit(f"{playbook.name} ended with {child.returncode} or changed something:\n{text[-4000:]}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Weigh every case ROUNDS times, one after the other, and print medians and ratios."""
    source, host = Path(sys.argv[1]), sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    cases = {
        "start": HERE / "start.yml",
        "ordinary": HERE / "ordinary.yml",
        "provision": ROOT / "playbooks" / "provision.yml",
    }
    with tempfile.TemporaryDirectory() as scratch:
        hosts, log = Path(scratch, "hosts.yml"), Path(scratch, "log")
        inventory(source, host, count, hosts)
        found: dict[str, list[float]] = {name: [] for name in cases}
        for _round in range(rounds):
            for name, playbook in cases.items():
                found[name].append(weigh(playbook, hosts, log) / count)
    medians = {name: statistics.median(times) for name, times in found.items()}
    for name, seconds in medians.items():
        share = seconds / medians["ordinary"]
        print(f"{name:<10} {seconds:6.2f} CPU s a host of {count}, {share:5.2f} of the ordinary")


if __name__ == "__main__":
    main()
