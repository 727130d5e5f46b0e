"""Time how long a policy of 10,000, 100,000 and 1,000,000 prefixes takes to come into force.

Usage (as root): python -m tests.bench.xdp_map OBJECT [COUNT ...]

Prints a line a count: milliseconds in which the policy comes into force the first time (with a program that has room
for it), in which it is found to be in force, and in which one entry more does; and what of that is compiling.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_lists
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import lab

COUNTS = (10_000, 100_000, 999_999)


def prefixes(count: int) -> bytes:
    """Return so many IPv4 prefixes, each apart from its neighbours, as a file of a list."""
    lines = (f"{16 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/25" for n in range(count))
    return "".join(f"{line}\n" for line in lines).encode()


def timed(desired: Desired, text: bytes) -> tuple[float, float, bool]:
    """Return the milliseconds in which a list comes into force, those for compiling, and whether anything changed."""
    sha256 = policy_lists.digest(text)
    document = {"lists": [{"name": "many", "file": "/many", "sha256": sha256}]}
    policy = DesiredPolicy(
        "bench",
        [desired.interface],
        document,
        {sha256: text},
        pin_root=desired.pin_root,
        state_directory=desired.state_directory,
    )
    begin = time.perf_counter()
    resource = PolicySet(policy)
    outcome = converge(resource, policy, Host())
    taken = (time.perf_counter() - begin) * 1000
    return taken, resource.facts(outcome)["seconds"]["compile"] * 1000, outcome.changed


def measure(desired: Desired, count: int) -> None:
    """Print the line of a count."""
    text = prefixes(count)
    first, first_compiled, _changed = timed(desired, text)
    unchanged, _none, changed = timed(desired, text)
    assert not changed, "the policy is in force, and was not recognised"
    more, more_compiled, _changed = timed(desired, text + b"192.0.2.0/24\n")
    times = f"first {first:8.0f} ms ({first_compiled:.0f})   unchanged {unchanged:6.1f} ms"
    print(f"{count:9,} prefixes: {times}   one more {more:8.0f} ms ({more_compiled:.0f})")


def main() -> None:
    counts = [int(word) for word in sys.argv[2:]] or COUNTS
    with tempfile.TemporaryDirectory() as name, lab.cable() as cable:
        policy_lists.DIRECTORY = f"{name}/lists"
        root = f"/sys/fs/bpf/tripod-bench-{os.getpid()}"
        desired = Desired(cable.nic, object=sys.argv[1], pin_root=root, state_directory=f"{name}/host.d")
        Path(desired.state_directory).mkdir()
        converge(XdpProgram(desired), desired, Host())
        try:
            for count in counts:
                measure(desired, count)
        finally:
            gone = Desired(cable.nic, present=False, pin_root=root, state_directory=f"{name}/host.d")
            converge(XdpProgram(gone), gone, Host())
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(root)


if __name__ == "__main__":
    main()
