"""NICs, with the module killed at every moment: the next run converges, nothing is lost or left.

What a veth has is in tests/integration/test_killed.py, on the real kernel.
"""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqbalance
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import apply, resource
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import SOCK_FLOW_ENTRIES
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state_file import forgetting

from tests.support.sweep import hold

from .cards import Cards
from .nics import host as host_of
from .test_resource import card

UNIT = "/usr/lib/systemd/system/irqbalance.service"
COMMAND = "/usr/sbin/irqbalance $IRQBALANCE_ARGS"


class Kept(Cards):
    """Cards whose settings outlive the process that made them, with an irqbalance below a systemd."""

    def __init__(self, root, monkeypatch, *nics):
        super().__init__(root / "host", monkeypatch, *nics)
        self.memory, self.new = root / "cards", nics
        for name, part in (("write_xps", "xps"), ("write_rps", "rps"), ("write_rfs", "rfs")):
            monkeypatch.setattr(
                apply, name, lambda host, name, queue, value, part=part: self.write(part, name, queue, value)
            )
        monkeypatch.setattr(resource, "read_host", self.read_host)
        monkeypatch.setattr(irqbalance, "systemctl", self.systemctl)

    def reset(self):
        shutil.rmtree(self.host.root, ignore_errors=True)
        files = {
            SOCK_FLOW_ENTRIES: "0\n",
            UNIT: f"[Service]\nExecStart={COMMAND}\n",
            "/run/systemd/system/made": "",
            "/proc/77/comm": "irqbalance\n",
            "/proc/77/cgroup": "0::/system.slice/irqbalance.service\n",
            "/proc/77/cmdline": COMMAND.replace(" ", "\0"),
            "/loaded": COMMAND,
        }
        for path, text in files.items():
            self.host.path(path).parent.mkdir(parents=True, exist_ok=True)
            self.host.path(path).write_text(text)
        self.nics = {one.name: one for one in self.new}
        self.keep()

    def keep(self):
        beside = self.memory.with_suffix(".new")
        beside.write_bytes(pickle.dumps(self.nics))
        os.replace(beside, self.memory)

    def load(self):
        self.nics = pickle.loads(self.memory.read_bytes())

    def read(self, host, link, table=()):
        self.load()
        return super().read(host, link, table)

    def read_host(self, host, nics):
        entries = host.read_int(SOCK_FLOW_ENTRIES)
        held = host_of(*nics.values(), sock_flow_entries=entries, irqbalance=irqbalance.read(host))
        return replace(held, topology=self.topology)

    def set(self, link, section, values):
        self.load()
        super().set(link, section, values)
        self.keep()

    def move(self, host, irq, cpus):
        self.load()
        super().move(host, irq, cpus)
        self.keep()
        return True

    def write(self, part, name, queue, value):
        self.load()
        held, at = list(getattr(self.nics[name], part)), int(queue.partition("-")[2])
        held[at] = value if part == "rfs" else frozenset(value)
        self.nics[name] = replace(self.nics[name], **{part: tuple(held)})
        self.keep()

    def systemctl(self, *words, timeout):
        """What a unit starts is what was loaded last, and what runs is what was started last."""
        text = self.host.read(irqbalance.DROP_IN)
        loaded = text.rpartition("ExecStart=")[2].strip() if text else COMMAND
        if words == ("daemon-reload",):
            place, content = "/loaded", loaded
        else:
            place, content = "/proc/77/cmdline", self.host.read("/loaded").replace(" ", "\0")
        self.host.write_attribute(place, content)

    def everything(self):
        self.load()
        return {
            **{name: nic.to_json() for name, nic in self.nics.items()},
            "runs": self.host.read("/proc/77/cmdline"),
            "loaded": self.host.read("/loaded"),
        }

    def traces(self):
        places = [self.host.path("/etc"), self.host.path(irqbalance.DROP_IN).parent]
        return {path.name: path.read_text() for place in places for path in place.rglob("*") if path.is_file()}

    def forget(self):
        requests = forgetting(self.host)
        return converge(Nics(requests), requests, self.host)


@pytest.fixture
def cards(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    one = card("ens1", 6, "0000:81:00.0")
    # As the double spreads it by itself.
    rss = replace(one.settings.rss, table=tuple(at % one.settings.rss.rings for at in range(128)))
    return Kept(tmp_path, monkeypatch, replace(one, settings=replace(one.settings, rss=rss)))


FIRST = {
    "mtu": 9000,
    "rings": {"rx": 512},
    "channels": {"combined": 2},
    "coalesce": {"rx_usecs": 10},
    "irq": {"placement": "local"},
    "xps": "off",
}
RPS = {"rings": {"rx": 512, "tx": 1024}, "rps": {"cpus": "8-9", "flow_entries": 1024}, "xps": ["8", "9", "10", "11"]}
LESS = {"rings": {"rx": 1024}}


@pytest.mark.parametrize("after", ["the same again", "absent at once"])
@pytest.mark.parametrize(
    ("before", "requested"),
    [(None, FIRST), (None, RPS), (LESS, RPS), (RPS, LESS), (FIRST, None)],
    ids=["first", "first rps", "added", "dropped", "absent"],
)
def test_a_killed_run_is_finished_by_the_next(cards, before, requested, after):
    def run(options):
        return cards.bring({"name": "ens1", **options}) if options else cards.forget()

    def again():
        cards.reset()
        if before:
            run(before)

    cards.reset()
    fresh = cards.everything()
    again()
    run(requested)
    reached, kept, flows = cards.everything(), cards.traces(), cards.host.read_int(SOCK_FLOW_ENTRIES)
    again()

    def look():
        if after == "the same again":
            run(requested)
            assert cards.everything() == reached
            assert cards.traces() == kept
            assert not run(requested).changed
            # It is never shrunk, as others may need it.
            assert cards.host.read_int(SOCK_FLOW_ENTRIES) == flows
        cards.forget()
        assert cards.everything() == fresh, "original values outlive a kill"
        assert cards.traces() == {}
        assert not cards.forget().changed

    hold(lambda: run(requested), look, again, least=8)
