# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What changes without a word from the kernel: detached programs, exchanged pins, driver settings, interrupts, tables.

No event says that somebody detached a bpf_link, or moved an interrupt. So the watch takes fingerprints every few
seconds, and where one differs the planner runs. A fingerprint is not decoded and not compared with a request, or eight
NICs would cost more than what it guards is worth.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Mapping
from contextlib import suppress
from typing import Any

from .._core import state_store
from .._core.converge import CoreError
from .._core.system import Host
from .._firewall import request as firewall_request
from .._linux import bpf, ethtool_digest, libbpf, netlink, nftables
from .._linux.netlink import Link
from .._linux.topology import NETWORK, pci_device
from .._nic import napi
from .._nic import state_file as nic_state_file
from .._nic.identity import expand, match, pci_addresses
from .._xdp import policy_assignment, policy_in_force
from .._xdp import request as xdp_request
from .._xdp.called import EXTENSIONS, numbers
from .._xdp.identity import JUDGE_PIN, MAPS

PROGRAM, LINK, DRIVER, PLACEMENT = "XDP program", "link settings", "driver settings", "interrupts or queues"
POLICY = "the policy in force"
TABLES = "a table of the packet filter"
NEW = "not patrolled before"


class Patrol:
    """Takes fingerprints of the interfaces that something is requested of, and says which differ.

    Args:
        host: The machine.
        directory: Where the state files are.
    """

    def __init__(self, host: Host, directory: str = state_store.DIRECTORY) -> None:
        self._host, self._directory = host, directory
        self._known: dict[str, dict[str, Hashable]] = {}
        self._bodies: dict[str, tuple[Hashable, Mapping[str, Any] | None]] = {}
        self._nics: tuple[Hashable, list[str]] = (None, [])
        self._turn = 0
        self._generation: int | None = None

    def differences(self, links: Collection[str]) -> dict[str, list[str]]:
        """Return what differs from the last round, by interface; NEW for one of which there was no fingerprint.

        Args:
            links: Names of the links that there are.
        """
        found = {}
        programs, nics = self._programs(links), self._requested_nics(links)
        self._turn += 1
        # Hundreds of small files on a large NIC, so one NIC a round.
        taken = self._take(programs, nics, nics[self._turn % len(nics) :][:1] if nics else [])
        for name, fingerprint in taken.items():
            before = self._known.get(name)
            if before is None:
                found[name] = [NEW]
            else:
                differing = [part for part, value in fingerprint.items() if before.get(part) != value]
                if differing:
                    found[name] = differing
            self._known[name] = {**(before or {}), **fingerprint}
        for name in self._known.keys() - taken.keys():
            del self._known[name]
        return found

    def ends(self, links: Collection[str]) -> dict[str, int]:
        """Return when the next entry of an interface's policy ends, in seconds since 1970, where one does.

        Args:
            links: Names of the links that there are.
        """
        found = {name: body.get("until") for name, body in self._policies(links).items()}
        return {name: end for name, end in found.items() if isinstance(end, int)}

    def tables_changed(self) -> bool:
        """Whether any table of the packet filter was changed since the last call, where one of ours is requested.

        The kernel counts changes of all tables in one number; whether it was ours, the planner finds out.
        """
        if self._body(firewall_request.STATE_FILE, firewall_request.KIND) is None:
            self._generation = None
            return False
        now = nftables.generation()
        changed, self._generation = now != self._generation, now
        return changed

    def accept(self, names: Collection[str]) -> None:
        """Take interfaces as they are: they were just checked, or brought to what is requested."""
        nics = [name for name in self._requested_nics(names) if name in names]
        self._known.update(self._take(self._programs(names), nics, nics))

    def _take(
        self, programs: Mapping[str, Mapping[str, Any]], nics: Collection[str], placed: Collection[str]
    ) -> dict[str, dict[str, Hashable]]:
        found: dict[str, dict[str, Hashable]] = {}
        for name in sorted({*programs, *nics}):
            link = netlink.link(name)
            if link is None:
                continue
            found[name] = {}
            if name in programs:
                found[name][PROGRAM] = self._program(programs[name], link)
                found[name][POLICY] = self._is_saved_policy(programs[name])
            if name in nics:
                found[name][LINK] = (link.up, link.mtu, link.txqueuelen)
        for name, digest in ethtool_digest.digests([name for name in nics if name in found]).items():
            found[name][DRIVER] = digest
        for name in placed:
            if name in found:
                found[name][PLACEMENT] = self._placement(name)
        return found

    def _programs(self, links: Collection[str]) -> dict[str, Mapping[str, Any]]:
        if libbpf.missing_library():
            return {}
        bodies = self._bodies_of(xdp_request.KIND, links)
        return {interface: body for interface, body in bodies.items() if "pin_root" in body}

    def _policies(self, links: Collection[str]) -> dict[str, Mapping[str, Any]]:
        return self._bodies_of(policy_assignment.KIND, links)

    def _bodies_of(self, kind: str, links: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the bodies of a kind that has a state file for each interface, as ``xdp-ens1``."""
        found = {}
        for file in self._host.list(self._directory):
            name, dot, suffix = file.rpartition(".")
            interface = name[len(kind) + 1 :]
            if f"{dot}{suffix}" == ".json" and name == f"{kind}-{interface}" and interface in links:
                body = self._body(name, kind)
                if body:
                    found[interface] = body
        return found

    def _requested_nics(self, links: Collection[str]) -> list[str]:
        body = self._body(nic_state_file.STATE_FILE, nic_state_file.KIND)
        if not body:
            return []
        key = (self._bodies[nic_state_file.STATE_FILE][0], frozenset(links))
        if self._nics[0] != key:
            table = netlink.links()
            names: list[str] = []
            # A file that is not understood is reported by the planner.
            with suppress(CoreError, KeyError, TypeError, ValueError, AttributeError):
                requests = nic_state_file.saved_requests(body)
                names = sorted(expand(match(requests, table, pci_addresses(self._host, table), saved=True)[0], table))
            self._nics = (key, names)
        return self._nics[1]

    def _body(self, name: str, kind: str) -> Mapping[str, Any] | None:
        """Return a state file's body, parsed again only where the file is another."""
        try:
            status = os.stat(self._host.path(state_store.path(name, self._directory)))
        except OSError:
            self._bodies.pop(name, None)
            return None
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._bodies.get(name, (None,))[0] != version:
            state_file = state_store.load(self._host, name, self._directory)
            self._bodies[name] = (version, state_file.body if state_file and state_file.kind == kind else None)
        return self._bodies[name][1]

    def _program(self, body: Mapping[str, Any], link: Link) -> Hashable:
        pins = xdp_request.pin_directory(body["pin_root"], body["interface"])
        maps = [f"{pins}/maps/{name}" for name in self._host.list(f"{pins}/maps")]
        pinned = tuple(_pinned(path) for path in (f"{pins}/link", f"{pins}/prog", f"{pins}/{JUDGE_PIN}", *maps))
        return (link.index, tuple(link.xdp.programs.items()), pinned)

    def _is_saved_policy(self, body: Mapping[str, Any]) -> Hashable:
        """Whether the policy in force is the one that was put there, if any was; by its digest, which is one look."""
        interface = body["interface"]
        saved = self._policies([interface]).get(interface, {}).get("digest")
        if not saved:
            return True
        path = f"{xdp_request.pin_directory(body['pin_root'], interface)}/{MAPS}/{policy_in_force.POLICY}"
        try:
            with bpf.pinned(path) as outer:
                digest = policy_in_force.digest_of(outer)
        except OSError as error:
            return f"errno {error.errno}"
        return digest is not None and digest.hex() == saved

    def _placement(self, name: str) -> Hashable:
        device = pci_device(self._host, f"{NETWORK}/{name}")
        numbers = self._host.list(f"{device}/msi_irqs") if device else []
        paths = [f"/proc/irq/{number}/smp_affinity" for number in numbers]
        paths += [f"{NETWORK}/{name}/{file}" for file in napi.ATTRIBUTES.values()]
        queues = f"{NETWORK}/{name}/queues"
        for queue in self._host.list(queues):
            files = ("xps_cpus",) if queue.startswith("tx-") else ("rps_cpus", "rps_flow_cnt")
            paths += [f"{queues}/{queue}/{file}" for file in files]
        return tuple(_raw(self._host, path) for path in paths)


def _pinned(path: str) -> Hashable:
    """Return what is pinned at a path, by its numbers; the error's where it cannot be opened."""
    try:
        with bpf.pinned(path) as descriptor:
            if path.endswith("/link"):
                return bpf.xdp_link_info(descriptor)
            if path.endswith(("/prog", f"/{JUDGE_PIN}")):
                return bpf.program_info(descriptor).id
            number = bpf.map_info(descriptor).id
            # Without what it is to call, a program that hands packets on drops them.
            return (number, tuple(numbers(descriptor).items())) if path.endswith(f"/{EXTENSIONS}") else number
    except OSError as error:
        return f"errno {error.errno}"


def _raw(host: Host, path: str) -> bytes | int:
    try:
        descriptor = os.open(host.path(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error.errno or 0
