"""Programs of others come, go and are replaced, killed at every moment: what runs calls all of it, and converges."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.identity import identify

from tests.integration import lab
from tests.support import forked
from tests.support.bpf_object import hollow
from tests.support.sweep import sweep

NIC = lab.Cable.nic
COUNT = "packets_that_were_seen"
OURS = {NIC, f"{NIC}/link", f"{NIC}/maps", f"{NIC}/prog", *(f"{NIC}/maps/{one}" for one in lab.MAPS)}
THEIRS = {f"{NIC}/judge", *(f"{NIC}/maps/{slot}:{COUNT}" for slot in ("before", "after"))}


@dataclass(frozen=True)
class Place:
    """Where pins, state files and objects are."""

    root: Path
    directory: Path
    objects: Mapping[str, str]

    def module(self, **options: Any) -> None:
        """Apply by the module, in this process."""
        places = {"interface": NIC, "pin_root": str(self.root), "state_dir": str(self.directory), "guard": "never"}
        forked.run("xdp_program", {**places, "object": self.objects["first"], **options})

    def apply(self, which: str) -> None:
        """Request one of REQUESTS."""
        gate, count = ({"object": self.objects["theirs"], "program": one} for one in ("their_gate", "their_count"))
        others = {"both": {"before": gate, "after": count}, "newer": {"before": gate, "after": count}}
        ours = {"object": self.objects["newer"]} if which == "newer" else {}
        self.module(**others.get(which, {}), **ours)

    def pins(self) -> set[str]:
        return {str(one.relative_to(self.root)) for one in self.root.rglob("*")}

    def clear(self) -> None:
        shutil.rmtree(self.root / NIC, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        end = time.monotonic() + 10
        while netlink.link(NIC).xdp.mode and time.monotonic() < end:
            with suppress(OSError):
                time.sleep(0.005)


@pytest.fixture
def place(cable, pin_root, tmp_path, xdp_object, newer_object, theirs) -> Place:
    objects = {"theirs": str(theirs())}
    for which, path in (("first", xdp_object), ("newer", newer_object)):
        # The verifier takes seconds for the whole program, and here it is loaded hundreds of times.
        (tmp_path / f"{which}.bpf.o").write_bytes(hollow(path.read_bytes()))
        objects[which] = str(tmp_path / f"{which}.bpf.o")
    forked.module("xdp_program")
    return Place(pin_root, tmp_path / "host.d", objects)


def judged(place: Place) -> None:
    """What is attached calls all that it is there for; the entry of an empty array would drop everything."""
    [number] = netlink.link(NIC).xdp.programs.values()
    with bpf.program_by_id(number) as descriptor:
        attached = bpf.program_info(descriptor)
    calls = set(identify(Host(), NIC, str(place.root)).ours.calls)
    assert calls == ({"before", "ours", "after"} if attached.name.startswith("tripod_entry") else set())


@pytest.mark.parametrize(
    ("before", "then", "pins"),
    [("none", "both", OURS | THEIRS), ("both", "none", OURS), ("both", "newer", OURS | THEIRS)],
    ids=["they come", "they go", "ours is replaced"],
)
def test_what_ours_calls_is_never_missing_and_the_next_run_converges(place, capsys, before, then, pins):
    bad, moments = [], 0

    def prepare() -> None:
        place.clear()
        forked.carry_out(lambda: place.apply(before))

    prepare()
    for moment in sweep(lambda: place.apply(then), 30):
        moments += 1
        try:
            judged(place)
            forked.carry_out(lambda: place.apply(then))
            judged(place)
            assert place.pins() == pins
            assert not identify(Host(), NIC, str(place.root)).strays()
        except Exception as error:
            bad.append(f"{moment}: {type(error).__name__}: {str(error)[:600]}")
        prepare()
    with capsys.disabled():
        print(f" [{moments} moments, {len(bad)} bad]", end="")
    assert not bad, f"{len(bad)} of {moments} moments:\n" + "\n".join(bad)
