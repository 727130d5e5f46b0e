"""Time 10,000 ACL prefixes through xdp_map's core against 'bpftool batch' on the same map, in the same run.

Usage (as root): python -m tests.bench.xdp_map OBJECT [ROUNDS]

Prints one line a case: median milliseconds of each, and the ratio. The core does more than bpftool: it checks the
list, compares it with what is there and reads it back. bpftool has no way to find that nothing is to be done.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap, parse_entries
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import lab

PREFIXES = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(10_000)]
OPTIONS = [{"prefix": prefix, "action": "drop"} for prefix in PREFIXES]


def timed(work: Callable[[], object]) -> float:
    """Return how long it took, in milliseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def hexadecimal(content: bytes) -> str:
    """Return bytes as bpftool takes them."""
    return "hex " + content.hex(" ")


def measure(directory: Path, desired: Desired, rounds: int) -> None:
    """Run all cases and print them."""
    keys = [parse_prefix(prefix).key for prefix in PREFIXES]
    path = f"{desired.pins}/maps/acl_v4"
    add, remove = directory / "add", directory / "remove"
    rule = hexadecimal(bytes((2, 1, 24, 0)))
    add.write_text("".join(f"map update pinned {path} key {hexadecimal(key)} value {rule}\n" for key in keys))
    remove.write_text("".join(f"map delete pinned {path} key {hexadecimal(key)}\n" for key in keys))

    def core(options: list[dict[str, str]]) -> None:
        policy = Policy(desired.interface, entries=parse_entries(options), pin_root=desired.pin_root)
        converge(XdpMap(policy), policy, Host())

    def bpftool(batch: Path) -> None:
        subprocess.run(["bpftool", "batch", "file", str(batch)], check=True, stdout=subprocess.DEVNULL)

    times: dict[str, list[float]] = {}
    for _round in range(rounds):
        for case, work in (
            ("core add", lambda: core(OPTIONS)),
            ("core no change", lambda: core(OPTIONS)),
            ("core remove", lambda: core([])),
            ("bpftool add", lambda: bpftool(add)),
            ("bpftool remove", lambda: bpftool(remove)),
        ):
            times.setdefault(case, []).append(timed(work))
    median = {case: statistics.median(values) for case, values in times.items()}
    for case in ("add", "remove"):
        ours, theirs = median[f"core {case}"], median[f"bpftool {case}"]
        print(f"{case:9} xdp_map {ours:7.1f} ms   bpftool batch {theirs:7.1f} ms   ratio {ours / theirs:.2f}")
    ours, theirs = median["core no change"], median["bpftool add"]
    reported = "(bpftool adds all again)"
    print(f"no change xdp_map {ours:7.1f} ms   bpftool batch {theirs:7.1f} ms   ratio {ours / theirs:.2f} {reported}")


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as name, lab.cable() as cable:
        root = f"/sys/fs/bpf/tripod-bench-{os.getpid()}"
        desired = Desired(cable.nic, object=sys.argv[1], pin_root=root, state_directory=f"{name}/host.d")
        converge(XdpProgram(desired), desired, Host())
        try:
            print(f"{len(PREFIXES)} prefixes, median of {rounds} rounds")
            measure(Path(name), desired, rounds)
        finally:
            gone = Desired(cable.nic, present=False, pin_root=root, state_directory=f"{name}/host.d")
            converge(XdpProgram(gone), gone, Host())
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(root)


if __name__ == "__main__":
    main()
