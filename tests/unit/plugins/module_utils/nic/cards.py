"""NICs that keep what is set, and refuse what they are told to: the kernel below ``Nics`` in a unit test."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqs, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Count
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import apply, resource
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics

from .nics import TOPOLOGY
from .nics import host as host_of


class Cards:
    """Replaces what reads and sets NICs by a table of them.

    Args:
        root: The machine's files.
        monkeypatch: pytest's.
        nics: Those that there are, by name; ``index`` and ``master`` of a link make bonds.
    """

    def __init__(self, root, monkeypatch, *nics):
        self.host = Host(root)
        self.nics = {one.name: one for one in nics}
        self.refuses = {}  # (name, section, key): errno's words
        self.ignores = set()  # likewise: taken, and not done
        self.unreadable = {}
        self.sent = []
        self.topology = TOPOLOGY
        monkeypatch.setattr(netlink, "links", lambda: [one.link for one in self.nics.values()])
        monkeypatch.setattr(
            resource, "pci_addresses", lambda host, table: {one.name: self.nics[one.name].pci for one in table}
        )
        monkeypatch.setattr(netlink, "link", lambda name: self.nics[name].link)
        for module in (resource, apply):
            monkeypatch.setattr(module, "read_nic", self.read)
        monkeypatch.setattr(
            resource, "read_host", lambda host, nics: replace(host_of(*nics.values()), topology=self.topology)
        )
        for section in apply._SETTERS:
            monkeypatch.setitem(
                apply._SETTERS, section, lambda host, link, values, section=section: self.set(link, section, values)
            )
        monkeypatch.setattr(irqs, "move", self.move)

    def read(self, host, link, table=()):
        if link.name in self.unreadable:
            raise self.unreadable[link.name]
        members = tuple(one.name for one in table if link.kind == "bond" and one.master == link.index)
        return replace(self.nics[link.name], members=members)

    def set(self, link, section, values):
        self.sent.append((link.name, section, dict(values)))
        for key in values:
            if (link.name, section, key) in self.refuses:
                raise ApplyFailed(f"{link.name}: {section}: {self.refuses[link.name, section, key]}")
        values = {key: value for key, value in values.items() if (link.name, section, key) not in self.ignores}
        nic = self.nics[link.name]
        if section in ("up", "mtu", "txqueuelen"):
            nic = replace(nic, link=replace(nic.link, **values))
        elif section in ("rings", "channels"):
            held = dict(getattr(nic.settings, section))
            held.update({key: Count(value, held[key].maximum) for key, value in values.items()})
            nic = replace(nic, settings=replace(nic.settings, **{section: held}))
        elif section == "rss":
            table = values["table"]
            even = tuple(bucket % nic.settings.rss.rings for bucket in range(len(nic.settings.rss.table)))
            rss = replace(nic.settings.rss, table=even if table == "default" else tuple(table))
            nic = replace(nic, settings=replace(nic.settings, rss=rss))
        elif section == "features":
            held = dict(nic.settings.features)
            held.update({key: replace(held[key], active=value) for key, value in values.items()})
            nic = replace(nic, settings=replace(nic.settings, features=held))
        elif section == "napi":
            nic = replace(nic, napi={**nic.napi, **values})
        else:
            held = {**getattr(nic.settings, section), **values}
            nic = replace(nic, settings=replace(nic.settings, **{section: held}))
        self.nics[link.name] = nic

    def move(self, host, irq, cpus):
        for name, nic in self.nics.items():
            moved = tuple(replace(one, cpus=cpus) if one.number == irq.number else one for one in nic.irqs)
            self.nics[name] = replace(nic, irqs=moved)
        return True

    def bring(self, *options, check=False):
        requests = parse_all(options)
        return converge(Nics(requests), requests, self.host, check=check)

    def rings(self, name):
        return {kind: self.nics[name].settings.rings[kind].current for kind in ("rx", "tx")}
