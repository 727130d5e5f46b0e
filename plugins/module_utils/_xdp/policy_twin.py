# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What becomes of given frames, and by whose word: a twin of the attached program judges them, and touches nothing.

It is the same object with other constants, on no interface. It shares the attached program's maps and only looks at
them: buckets as full as they are, bans as they stand.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from .._core import state_store
from .._core.converge import Impossible
from .._core.errors import in_words
from .._core.system import Host
from .._linux import bpf, bpf_run, map_in_map
from .._linux.bpf import Map
from .._linux.bpf_object import BpfObject
from .._linux.btf import Place, unpack
from .._linux.libbpf import check, library
from .._policy.frame import LONGEST, SHORTEST
from . import policy_assignment, request
from .called import JUDGE
from .identity import identify
from .policy_assignment import Assignment
from .policy_in_force import CONSTANTS, POLICY, equip, made, read_in_force
from .policy_lists import Lists
from .policy_requested import Requested
from .policy_requested import request as request_policy

TRACE = "trace"
_FIRST = bytes(4)
_SHARED = (POLICY, "buckets", "bans", "control")  # what a verdict depends on
_SWITCHES: Mapping[str, bytes] = {"tracing": b"\1", "charging": b"\0", "extended": b"\0"}
_PARTS = ("list", "observed_list", "rule", "observed_rule", "service")


class Twin:
    """A twin of an interface's program; a context manager.

    Args:
        host: The machine.
        interface: Its name.
        pin_root: Where its pins are.
        merged: The policy to judge by, the documents of all owners made one; None for the one that is in force.
        state_directory: Directory of the state files.
        lists: Texts of the lists that come from files; by default those that are saved.

    Raises:
        CoreError: No program of ours that takes a policy runs there, or the policy cannot be compiled.
    """

    def __init__(
        self,
        host: Host,
        interface: str,
        pin_root: str = request.PIN_ROOT,
        merged: Mapping[str, Any] | None = None,
        state_directory: str = state_store.DIRECTORY,
        lists: Lists | None = None,
    ) -> None:
        self._held, self._lists = ExitStack(), lists or Lists(host)
        try:
            self._load(host, interface, pin_root, merged, state_directory)
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._held.close()

    def _load(
        self, host: Host, interface: str, pin_root: str, merged: Mapping[str, Any] | None, directory: str
    ) -> None:
        assignment = policy_assignment.load(host, interface, directory) or Assignment(
            interface, "", pin_root, directory
        )
        found = identify(host, interface, pin_root)
        found.require((POLICY, CONSTANTS))
        opened = self._held.enter_context(_object(host, interface, directory))
        shared = {name: one for name, one in found.pinned_maps.items() if name in _SHARED and name in opened.maps()}
        slots: Mapping[str, int] = assignment.slots
        if merged is not None:
            del shared[POLICY]
            slots = self._equip(opened, request_policy(assignment, merged, self._lists), found.pinned_maps)
        else:
            self._share_constants(opened, found.pinned_maps)
        opened.set_constants({name: value for name, value in _SWITCHES.items() if name in opened.constants()})
        opened.load(JUDGE, {name: self._held.enter_context(bpf.map_by_id(one.id)) for name, one in shared.items()})
        if merged is not None:
            map_in_map.exchange(opened.map(POLICY), self._inner)
        self._program, self._trace = opened.program(JUDGE), opened.map(TRACE)
        self._record = Record(opened, slots)

    def _equip(self, opened: BpfObject, requested: Requested, maps: Mapping[str, Map]) -> Mapping[str, int]:
        running = read_in_force(maps)
        compiled = requested.compile(running.bounds if running else None)
        self._inner = self._held.enter_context(made(compiled))
        equip(opened, compiled, requested.hz, self._inner)
        return compiled.slots

    def _share_constants(self, opened: BpfObject, maps: Mapping[str, Map]) -> None:
        with bpf.map_by_id(maps[CONSTANTS].id) as descriptor:
            content = _value(descriptor)
        places = opened.constants()
        opened.set_constants(
            {name: content[place.offset : place.offset + place.size] for name, place in places.items()}
        )

    def judge(self, frame: bytes) -> dict[str, Any]:
        """Return what becomes of a frame.

        Returns:
            ``verdict``, ``reason``, ``would`` and ``would_reason`` as the object names them in lower case, the latter
            two None where no part in observe mode had a say; ``trusted`` and ``banned``; ``list``, ``observed_list``,
            ``rule``, ``observed_rule`` and ``service``, each a name or None; and ``limits`` in the order in which they
            were asked, each with ``name`` and ``outcome``.

        Raises:
            Impossible: The kernel runs no program on such a frame.
        """
        try:
            bpf_run.run(self._program, frame)
        except OSError as error:
            raise Impossible(
                f"a frame of {len(frame)} bytes cannot be tried: {in_words(error)}; give {SHORTEST} to {LONGEST} "
                "bytes, from the Ethernet header on"
            ) from error
        return self._record.read(_value(self._trace))


class Record:
    """Reads ``struct trace_record`` as the object describes it.

    Args:
        opened: The object.
        slots: Slot of ``hits`` by part.
    """

    def __init__(self, opened: BpfObject, slots: Mapping[str, int]) -> None:
        self._fields = opened.value_fields(TRACE)
        self._names = {slot: part.partition(":")[2] for part, slot in slots.items()}
        self._verdicts = _lower(opened.enumerators("xdp_action"), "XDP_")
        self._reasons = _lower(opened.enumerators("tripod_reason"), "REASON_")
        self._outcomes = _lower(opened.enumerators("limit_outcome"), "OUTCOME_")
        self._limit = opened.struct_fields("asked_limit")

    def read(self, content: bytes) -> dict[str, Any]:
        """Return what a record says, with names in place of numbers."""
        numbers = unpack(content, self._fields)
        would = numbers["would"]
        return {
            "verdict": self._verdicts.get(numbers["verdict"]),
            "reason": self._reasons.get(numbers["reason"]),
            "would": self._verdicts.get(would) if would else None,
            "would_reason": self._reasons.get(numbers["would_reason"]) if would else None,
            "trusted": bool(numbers["trusted"]),
            "banned": bool(numbers["banned"]),
            **{part: self._name(numbers[part]) for part in _PARTS},
            "limits": list(self._limits(content, self._fields["limits"])),
        }

    def _name(self, slot: int) -> str | None:
        return self._names.get(slot, str(slot)) if slot else None

    def _limits(self, content: bytes, place: Place) -> Iterator[dict[str, Any]]:
        size = max(one.offset + one.size for one in self._limit.values())
        for begin in range(place.offset, place.offset + place.size, size):
            limit = unpack(content[begin : begin + size], self._limit)
            if limit["slot"]:
                yield {"name": self._name(limit["slot"]), "outcome": self._outcomes.get(limit["outcome"])}


def _value(descriptor: int) -> bytes:
    value = ctypes.create_string_buffer(bpf.map_info(descriptor).layout.value_size)
    check(library().bpf_map_lookup_elem(descriptor, _FIRST, value))
    return value.raw


def _object(host: Host, interface: str, directory: str) -> BpfObject:
    state_file = state_store.load(host, request.state_file(interface), directory)
    if state_file is None or state_file.kind != request.KIND:
        raise Impossible(f"{interface}: no state file in {directory} says which object runs: run xdp_program first")
    path = state_file.body["object"]
    try:
        return BpfObject(host.path(path).read_bytes(), path)
    except OSError as error:
        raise Impossible(f"object {path} cannot be read: {in_words(error)}; run xdp_program again") from error


def _lower(numbers: Mapping[str, int], prefix: str) -> dict[int, str]:
    return {number: name[len(prefix) :].lower() for name, number in numbers.items() if name.startswith(prefix)}
