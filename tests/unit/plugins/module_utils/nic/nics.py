"""Recorded NICs, and a machine to put them in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ansible_collections.tripod.baremetal.plugins.module_utils._nic.irq_plan import Topology
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.plan import Target
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import HostState, NicState

FIXTURES = Path(__file__).parents[3] / "fixtures" / "nic"
DRIVERS = sorted(path.stem for path in FIXTURES.glob("*.json"))
# Two sockets of eight cores with two threads each.
TOPOLOGY = Topology(
    online=list(range(32)),
    nodes={0: [*range(8), *range(16, 24)], 1: [*range(8, 16), *range(24, 32)]},
    cores=[(core, core + 16) for core in range(16)],
)


def nic(recorded, /, **changes):
    """Return a recorded NIC, with parts of it changed: of the link, the settings, or the whole."""
    state = NicState.from_json(json.loads((FIXTURES / f"{recorded}.json").read_text(encoding="utf-8"))["nic"])
    for part in ("link", "settings"):
        held = getattr(state, part)
        own = {key: changes.pop(key) for key in list(changes) if hasattr(held, key) and not hasattr(state, key)}
        state = replace(state, **{part: replace(held, **own)})
    return replace(state, **changes)


def host(*nics, **more):
    """Return a machine with these NICs."""
    return HostState({one.name: one for one in nics}, **{"topology": TOPOLOGY, "sock_flow_entries": 0, **more})


def target(state, **options):
    """Return a NIC with what is requested of it, in the words of the module's options."""
    flags = {key: options.pop(key) for key in ("touched", "owns_rules", "released") if key in options}
    return Target(state.name, parse({"name": state.name, **options}), **flags)
