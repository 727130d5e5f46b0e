"""Weigh the compiler of policies: from the text of prefixes, half of them IPv4 and half IPv6, to the program's bytes.

Usage: env PYTHONPATH=.cache/collections python -m tests.bench.policy_compile [PREFIXES ...]

Prints, for each number of prefixes, the best of three runs in milliseconds of wall clock and of CPU: of a list whose
entries are given one by one, and of one whose entries are a file's lines; and the size of what comes out.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import Compiled, compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.bench.xdp_policies import SEED, prefixes

ROUNDS = 3


def weigh(make: Callable[[], Compiled]) -> tuple[float, float, Compiled]:
    """Return the least seconds of wall clock and of CPU that something took, and what it made."""
    walls, cpus = [], []
    for _round in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        made = make()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus), made


def made_of(document: dict[str, Any], texts: dict[str, bytes]) -> Compiled:
    return compile_policy(parse(document, texts), hz=250, seed=b"")


def main() -> None:
    print(f"Python {sys.version.split()[0]}")
    print(f"{'prefixes':>9} {'entries ms':>11} {'(CPU)':>8} {'file ms':>9} {'(CPU)':>8} {'MiB':>6}")
    for count in map(int, sys.argv[1:] or ("10000", "100000", "1000000")):
        words = prefixes(count // 2, 4) + prefixes(count - count // 2, 6)
        Random(SEED).shuffle(words)
        text = "\n".join(words).encode()
        digest = hashlib.sha256(text).hexdigest()
        entries = {"lists": [{"name": "a", "prefixes": words}]}
        file = {"lists": [{"name": "a", "file": "a", "sha256": digest}]}
        wall, cpu, made = weigh(partial(made_of, entries, {}))
        wall_file, cpu_file, same = weigh(partial(made_of, file, {digest: text}))
        # The digests differ: one is of entries, one of a file.
        assert (made.bounds, made.slots) == (same.bounds, same.slots)
        figures = (wall * 1e3, cpu * 1e3, wall_file * 1e3, cpu_file * 1e3, len(made.data) / (1 << 20))
        print("{:>9} {:>11.0f} {:>8.0f} {:>9.0f} {:>8.0f} {:>6.1f}".format(count, *figures))


if __name__ == "__main__":
    main()
