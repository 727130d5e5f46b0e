# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Policy entries in the pinned ACL maps, each with its owner; only one owner's entries are compared and changed."""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Outcome, Refused, converge, tally
from .._core.errors import in_words, reason
from .._core.names import absolute_path, interface_name
from .._core.system import Host
from .._linux import bpf, bpf_map, netlink
from .._linux.bpf import MapLayout
from .identity import Identity, identify
from .policy_entries import ACTIONS, parse_entries, shorten
from .prefix import Prefix, parse_prefix
from .request import CAPABILITIES_WORDS, PIN_ROOT, pin_directory, policy_state_file

__all__ = ["ACTIONS", "KIND", "OWNERS", "Policy", "XdpMap", "parse_entries", "reapply"]

KIND = "xdp_map"
# enum tripod_owner in files/bpf/tripod_xdp.h
OWNERS: Mapping[str, int] = {"inventory": 1, "api": 2}
_ACTION_NAMES = {number: name for name, number in ACTIONS.items()}
_OWNER_NAMES = {number: name for name, number in OWNERS.items()}
_MAP_NAMES: Mapping[int, str] = {4: "acl_v4", 6: "acl_v6"}
_KEY_BYTES: Mapping[int, int] = {4: 8, 6: 20}
_RULE_BYTES = 4  # struct acl_rule
_RULE_FIELDS = ["action", "owner", "prefix_len"]  # what is reserved may get a name one day
_ENTRY_PATH = 3  # interface, owner, prefix

_log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class Policy:
    """What is requested.

    Attributes:
        entries: Action by prefix.
        mode: ``exact`` makes the entries the whole of the owner's; ``present`` adds or changes them and leaves its
            others; ``absent`` removes them, whatever their action.
        state_directory: Directory of the host's state files; None writes none.
    """

    interface: str
    owner: str = "inventory"
    entries: Mapping[Prefix, str] = field(default_factory=dict)
    mode: str = "exact"
    pin_root: str = PIN_ROOT
    state_directory: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that reach further than one interface's pins and files.

        Raises:
            Invalid: The message says which, and why.
        """
        interface_name(self.interface)
        absolute_path(self.pin_root, "pin_root")
        if self.state_directory is not None:
            absolute_path(self.state_directory, "state_dir")

    @property
    def state_file(self) -> str:
        """Name of the state file."""
        return policy_state_file(self.interface)


@dataclass(frozen=True)
class Tables:
    """The maps as they are.

    Attributes:
        rules: Owner and action by prefix, all owners'.
        layouts: Layout of each map by IP version.
        state_file: What was requested of this interface before.
    """

    rules: Mapping[Prefix, tuple[str, str]]
    layouts: Mapping[int, MapLayout]
    state_file: state_store.StateFile | None = None


class XdpMap:
    """The resource for ``converge``.

    Args:
        policy: What is requested; reading needs the interface and the pin root in it.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def path(self, version: int) -> str:
        """Return where the map for an IP version is pinned."""
        return f"{pin_directory(self._policy.pin_root, self._policy.interface)}/maps/{_MAP_NAMES[version]}"

    def _identify(self, host: Host) -> Identity:
        try:
            return identify(host, self._policy.interface, self._policy.pin_root)
        except OSError as error:
            raise Impossible(
                f"{self._policy.interface}: what runs on it cannot be read: {in_words(error)}; outside of "
                f"'ip netns exec', which hides /sys/fs/bpf, it takes {CAPABILITIES_WORDS}"
            ) from error

    def unproven(self, host: Host) -> str | None:
        """Return why the pinned maps are not those of the program that runs; None where they are."""
        return self._identify(host).unproven(_MAP_NAMES.values())

    @contextmanager
    def _maps(self, host: Host) -> Iterator[dict[int, int]]:
        """Open the maps that the attached program judges by; gives their descriptors, by IP version.

        Raises:
            Impossible: What is pinned is not what runs; entries would be written, and packets pass.
        """
        proven = self._identify(host)
        proven.require(_MAP_NAMES.values())
        with ExitStack() as held:
            maps = {version: held.enter_context(bpf.pinned(self.path(version))) for version in _MAP_NAMES}
            for version, descriptor in maps.items():
                if bpf.map_info(descriptor) != proven.pinned_maps[_MAP_NAMES[version]]:
                    raise Impossible(f"{self.path(version)} was replaced just now: run again")
            yield maps

    def read(self, host: Host) -> Tables:
        """Read all entries of both maps."""
        rules: dict[Prefix, tuple[str, str]] = {}
        layouts: dict[int, MapLayout] = {}
        with self._maps(host) as maps:
            for version, descriptor in maps.items():
                layout = bpf.map_info(descriptor).layout
                _require_acl(layout, version, self.path(version))
                for key, value in bpf_map.items(descriptor, layout).items():
                    owner = _OWNER_NAMES.get(value[1], str(value[1]))
                    rules[Prefix.from_key(key)] = (owner, _ACTION_NAMES.get(value[0], str(value[0])))
                layouts[version] = layout
        directory = self._policy.state_directory
        state_file = None if directory is None else state_store.load(host, self._policy.state_file, directory)
        return Tables(rules, layouts, state_file)

    def validate(self, desired: Policy, state: Tables) -> None:
        """Refuse prefixes of another owner, and more entries than the maps hold."""
        findings = Findings()
        for prefix in desired.entries:
            owner, action = state.rules.get(prefix, (desired.owner, ""))
            if owner != desired.owner:
                findings.add(
                    f"{prefix} ({action}) belongs to owner {owner}, not {desired.owner}: "
                    "remove it there, or leave it out here"
                )
        shorten(findings)
        findings.raise_if_any(Refused, f"{desired.interface}: nothing was changed")
        if desired.mode == "absent":
            return
        after = Counter(prefix.version for prefix in _target(desired, state))
        after.update(prefix.version for prefix, (owner, _action) in state.rules.items() if owner != desired.owner)
        for version, layout in state.layouts.items():
            if after[version] > layout.max_entries:
                findings.add(
                    f"{_MAP_NAMES[version]} would hold {after[version]} entries > its limit {layout.max_entries}: "
                    "join prefixes, or build the object with larger maps"
                )
        findings.raise_if_any(Impossible, f"{desired.interface}: nothing was changed")

    def plan(self, desired: Policy, state: Tables) -> list[Change]:
        """Return removals, then additions and changes, so that a nearly full map has room; then the state file's."""
        target = _target(desired, state)
        own = own_entries(desired, state)
        removed = [(prefix, action, None) for prefix, action in own.items() if prefix not in target]
        set_ = [(prefix, own.get(prefix), action) for prefix, action in target.items() if own.get(prefix) != action]
        changes = [
            Change((desired.interface, desired.owner, str(prefix)), before, after)
            for prefix, before, after in removed + set_
        ]
        return changes + _plan_state_file(desired, state, target)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write the changes in batches; where that fails, restore the entries touched."""
        entries = entry_changes(changes)
        done: list[Change] = []
        with self._maps(host) as maps:
            try:
                for version, descriptor in maps.items():
                    for group in (_of(version, entries, removed=True), _of(version, entries, removed=False)):
                        done += group
                        self._write(descriptor, version, group)
            except OSError as error:
                for version, descriptor in maps.items():
                    self._restore(descriptor, _of(version, done))
                raise ApplyFailed(
                    f"{self._policy.interface}: the entries could not be written: {reason(error)}; "
                    "what was before is back"
                ) from error
        directory = self._policy.state_directory
        if directory and len(changes) > len(entries):
            body = changes[-1].after
            if body is None:
                state_store.discard(host, self._policy.state_file, directory)
            else:
                state_store.store(host, state_store.StateFile(self._policy.state_file, KIND, body), directory)
        elif directory:
            # A run that was killed half way, and is taken back, leaves the state file as it is.
            host.remove_leftovers(state_store.path(self._policy.state_file, directory))

    def _write(self, descriptor: int, version: int, changes: Sequence[Change]) -> None:
        removed = [parse_prefix(change.path[-1]).key for change in changes if change.after is None]
        entries = [self._entry(change.path[-1], change.after) for change in changes if change.after is not None]
        if removed:
            bpf_map.delete(descriptor, removed)
        if entries and bpf_map.update(descriptor, entries) < len(entries):
            raise OSError(errno.ENOSPC, f"{_MAP_NAMES[version]} is full, another owner adds entries at the same time")

    def _restore(self, descriptor: int, changes: Sequence[Change]) -> None:
        bpf_map.delete(descriptor, [parse_prefix(one.path[-1]).key for one in changes if one.before is None])
        bpf_map.update(descriptor, [self._entry(one.path[-1], one.before) for one in changes if one.before is not None])

    def _entry(self, text: str, action: str) -> tuple[bytes, bytes]:
        prefix = parse_prefix(text)
        return prefix.key, bytes((ACTIONS[action], OWNERS[self._policy.owner], prefix.length, 0))


def reapply(body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None) -> Outcome:
    """Bring the inventory's entries to what a state file's body requests; ``only`` names the interfaces concerned.

    Maps live as long as their pins, which a reboot ends. An interface that is absent now is left out.
    """
    interface = body["interface"]
    if only is not None and interface not in only:
        return Outcome([], None, checked=check)
    if netlink.link(interface) is None:
        _log.info("%s is absent: its policy is left out", interface)
        return Outcome([], None, checked=check, absent=True)
    entries = {parse_prefix(prefix): action for prefix, action in body["entries"].items()}
    policy = Policy(interface, entries=entries, pin_root=body["pin_root"])
    if check and XdpMap(policy).unproven(host):
        # None is in force by these maps: the program is still to be attached, or its pins to be mended.
        return Outcome(_additions(policy), None, checked=True)
    return converge(XdpMap(policy), policy, host, check)


def request_body(policy: Policy, entries: Mapping[Prefix, str]) -> dict[str, Any]:
    """Return what ``reapply`` takes to make these the owner's entries."""
    return {
        "interface": policy.interface,
        "pin_root": policy.pin_root,
        "entries": {str(prefix): action for prefix, action in entries.items()},
    }


def entry_changes(changes: Sequence[Change]) -> Sequence[Change]:
    """Return the changes that concern entries, without the state file's, which is last."""
    return [change for change in changes if len(change.path) == _ENTRY_PATH]


def counts(changes: Sequence[Change]) -> dict[str, int]:
    """Return how many entries a plan adds, removes and changes."""
    return tally(entry_changes(changes))


def own_entries(desired: Policy, state: Tables) -> dict[Prefix, str]:
    """Return action by prefix of the owner's entries."""
    return {prefix: action for prefix, (owner, action) in state.rules.items() if owner == desired.owner}


def _target(desired: Policy, state: Tables) -> dict[Prefix, str]:
    """Return what the owner's entries are to be."""
    if desired.mode == "exact":
        return dict(desired.entries)
    own = own_entries(desired, state)
    if desired.mode == "present":
        return {**own, **desired.entries}
    return {prefix: action for prefix, action in own.items() if prefix not in desired.entries}


def _additions(policy: Policy) -> list[Change]:
    return [Change((policy.interface, policy.owner, str(one)), None, action) for one, action in policy.entries.items()]


def _plan_state_file(desired: Policy, state: Tables, target: Mapping[Prefix, str]) -> list[Change]:
    """Return the change of the state file, which holds all entries of the owner."""
    if desired.state_directory is None:
        return []
    if not target:
        held = state.state_file
        return [Change(("state file", desired.state_file), dict(held.body), None)] if held else []
    return state_store.plan(
        state.state_file, state_store.StateFile(desired.state_file, KIND, request_body(desired, target))
    )


def _of(version: int, changes: Sequence[Change], removed: bool | None = None) -> list[Change]:
    return [
        change
        for change in changes
        if (6 if ":" in change.path[-1] else 4) == version and removed in (None, change.after is None)
    ]


def _require_acl(layout: MapLayout, version: int, path: str) -> None:
    if (layout.type, layout.key_size, layout.value_size) != ("lpm_trie", _KEY_BYTES[version], _RULE_BYTES):
        found = f"a {layout.type} with {layout.key_size}-byte keys and {layout.value_size}-byte values"
    elif layout.value is not None and _names(layout.value)[: len(_RULE_FIELDS)] != _RULE_FIELDS:
        found = f"an lpm_trie whose values are {layout.value}"
    else:
        return
    raise Impossible(
        f"{path} is {found}, not an ACL (lpm_trie, {_KEY_BYTES[version]}, {_RULE_BYTES}: {', '.join(_RULE_FIELDS)}): "
        "attach the program that belongs to this collection"
    )


def _names(value: str) -> list[str]:
    return [field.split("@")[0].strip() for field in value.partition("{")[2].rstrip("}").split(";")]
