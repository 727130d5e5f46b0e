# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The one loop of the house: read, validate, plan, apply, read back, compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import in_words
from .system import Host

# Characters up to which a body, and a value in it, is shown whole; and places of a body that are named.
_LINE, _SHORT, _PLACES = 160, 60, 6
_FEW = 100  # changes beside each other that are listed one by one; a policy has a hundred thousand entries
# Characters of a step that stands, and how many of those are named.
_BRIEF, _SHOWN = 120, 20


class CoreError(Exception):
    """An error meant for the operator: what, where, the limit and the way out.

    Attributes:
        facts: JSON-ready details that a module returns beside the message.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts


class Invalid(CoreError):
    """The request itself is malformed; nothing was read or changed."""


class Impossible(CoreError):
    """The host cannot do what is requested; nothing was changed."""


class Refused(CoreError):
    """The host could, but it would harm what is not ours; nothing was changed."""


class ApplyFailed(CoreError):
    """The kernel, or the system, rejected a step of the plan."""


class NotConverged(CoreError):
    """Every step was accepted, yet reading back shows another state."""


class Incomplete(CoreError):
    """Some of several things cannot be brought to what is requested of them; the others were, or would be.

    Attributes:
        outcome: What was done, or would be.
        failures: Why not, by the first words of a change's path, such as ``ens1`` or ``pages 1 1G``.
    """

    def __init__(self, outcome: Outcome, failures: Mapping[str, str]) -> None:
        super().__init__("; ".join(failures.values()), failures=dict(failures))
        self.outcome, self.failures = outcome, failures


@dataclass(frozen=True)
class Change:
    """One step of a plan.

    Attributes:
        path: What changes, e.g. ``("ens1", "ring", "rx")``.
        before: Value read from the kernel (descriptors); None where it did not exist.
        after: Desired value (descriptors); None where it is to be removed.
        disrupts: True where the link bounces or traffic stops.
    """

    path: tuple[str, ...]
    before: Any
    after: Any
    disrupts: bool = False


@dataclass(frozen=True)
class Outcome:
    """What ``converge`` did, or in check mode would do.

    Attributes:
        changes: The plan, in the order it is carried out.
        state: The resource's state after the call; before it, in check mode.
        checked: True where nothing was applied because the caller only checks.
        absent: True where what is to be changed does not exist now, so that nothing was compared.
    """

    changes: Sequence[Change]
    state: Any
    checked: bool = False
    absent: bool = False

    @property
    def changed(self) -> bool:
        """Whether the plan holds any step."""
        return bool(self.changes)

    @property
    def disrupts(self) -> bool:
        """Whether any step bounces a link or stops traffic."""
        return any(change.disrupts for change in self.changes)

    @property
    def diff(self) -> dict[str, Any]:
        """Ansible's before/after pair, each a tree of the changed paths only."""
        return diff(self.changes)


class Resource(Protocol):
    """A thing on the host that has a desired and a current state.

    It may have a method ``files``, which takes a state and yields the paths of the files that it writes; what a killed
    run left beside them is removed.
    """

    def read(self, host: Host) -> Any:
        """Return the current state, touching nothing."""

    def validate(self, desired: Any, state: Any) -> None:
        """Raise Invalid, Impossible or Refused, with every reason at once."""

    def plan(self, desired: Any, state: Any) -> list[Change]:
        """Return the steps from state to desired; a pure function."""

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Carry out the steps in order, or raise ApplyFailed naming the step."""


def converge(
    resource: Resource,
    desired: Any,
    host: Host,
    check: bool = False,
    before_apply: Callable[[Sequence[Change], Any], None] | None = None,
) -> Outcome:
    """Bring a resource to its desired state and prove it by reading it back.

    Args:
        resource: Where state is read from, planned and applied.
        desired: What the operator requests, in the resource's own form.
        host: The machine; the only thing that touches it.
        check: Plan only.
        before_apply: Called with plan and state before the first step, and only where there is one; it may refuse by
            raising. The guard is armed there.

    Raises:
        CoreError: The request is malformed, impossible or refused (nothing was changed), a step
            failed, or the host disagrees after every step was accepted.
    """
    try:
        state = resource.read(host)
        if not check:
            _tidy(resource, host, state)
        resource.validate(desired, state)
        changes = resource.plan(desired, state)
        if check or not changes:
            return Outcome(changes, state, checked=check)
        if before_apply:
            before_apply(changes, state)
    except OSError as error:
        raise Impossible(f"{in_words(error)}; nothing was changed") from error
    try:
        resource.apply(host, changes)
    except CoreError as error:
        error.facts.setdefault("stands", _standing(resource, desired, host, changes))
        raise
    except OSError as error:
        raise half_way(error, _standing(resource, desired, host, changes)) from error
    try:
        reached = resource.read(host)
        left = resource.plan(desired, reached)
    except OSError as error:
        raise NotConverged(f"applied, but it cannot be read back: {in_words(error)}") from error
    if left:
        raise NotConverged(
            "applied, but the host disagrees when read back: " + "; ".join(described(left)),
            remaining=described(left),
        )
    return Outcome(changes, reached)


def _tidy(resource: Resource, host: Host, state: Any) -> None:
    """Remove what a killed run left: where nothing is to be written, no writing removes it."""
    files: Callable[[Any], Iterable[str]] | None = getattr(resource, "files", None)
    for path in files(state) if files else ():
        with suppress(OSError):  # whoever writes there says what is wrong
            host.remove_leftovers(path)


def _standing(resource: Resource, desired: Any, host: Host, changes: Sequence[Change]) -> list[str] | None:
    """Return those steps of a plan that failed half way which are done and stay; None where nothing can be read."""
    try:
        left = {change.path for change in resource.plan(desired, resource.read(host))}
    except (CoreError, OSError):
        return None
    return described([change for change in changes if change.path not in left], brief)


def half_way(
    error: Exception, stands: Sequence[str] | None, saved: bool = False, nothing: str = "nothing was changed"
) -> ApplyFailed:
    """Return the error of a run that failed half way: what failed, what stands, and the way out.

    Args:
        error: What ended it.
        stands: The steps that are done and stay; None where that cannot be read.
        saved: Whether original values are saved, so that they can be restored.
        nothing: What is said where no step stands.
    """
    why = in_words(error)
    facts = {**(error.facts if isinstance(error, CoreError) else {}), "stands": stands}
    if stands is None:
        return ApplyFailed(f"{why}; what was changed before that cannot be read now", **facts)
    if not stands:
        return ApplyFailed(f"{why}; {nothing}", **facts)
    more = f"; and {len(stands) - _SHOWN} more" if len(stands) > _SHOWN else ""
    way_out = (
        "the original values are saved, and state: absent restores them" if saved else "run again once that is mended"
    )
    return ApplyFailed(f"{why}; what was changed before stands: {'; '.join(stands[:_SHOWN])}{more}; {way_out}", **facts)


def tally(changes: Iterable[Change]) -> dict[str, int]:
    """Return how many things a plan adds, removes and changes."""
    found = Counter(
        "added" if change.before is None else "removed" if change.after is None else "modified" for change in changes
    )
    return {name: found[name] for name in ("added", "removed", "modified")}


def described(changes: Sequence[Change], one: Callable[[Change], str] | None = None) -> list[str]:
    """Return a line for each change; where very many are beside each other, one line with their numbers for them all.

    Args:
        changes: The plan, or what is left of it.
        one: How a single change is told; ``describe`` by default.
    """
    beside: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        beside.setdefault(change.path[:-1], []).append(change)
    lines = []
    for path, those in beside.items():
        if len(those) <= _FEW:
            lines += [(one or describe)(change) for change in those]
        else:
            numbers = ", ".join(f"{count} {what}" for what, count in tally(those).items())
            lines.append(f"{' '.join(path)}: {numbers}")
    return lines


def brief(change: Change) -> str:
    """Return one line for a change, without values that are whole files or tables."""
    line = describe(change)
    return line if len(line) <= _BRIEF and "\n" not in line else f"{' '.join(change.path)}: changed"


def describe(change: Change) -> str:
    """Return one readable line for a change: ``ens1 ring rx: 512 -> 4096``; for a state file, what differs in it."""
    before, after = change.before, change.after
    bodies = [value for value in (before, after) if isinstance(value, Mapping)]
    if bodies and max(len(str(body)) for body in bodies) > _LINE:
        if before is None or after is None:
            return f"{' '.join(change.path)}: {'removed' if after is None else 'new'}, with {', '.join(bodies[0])}"
        if len(bodies) == 2:
            places = list(_differences(before, after))
            more = f" and {len(places) - _PLACES} more" if len(places) > _PLACES else ""
            return f"{' '.join(change.path)}: {', '.join(places[:_PLACES])}{more}"
    return f"{' '.join(change.path)}: {_show(change.before)} -> {_show(change.after)}"


def ineffective(change: Change) -> str:
    """Return the line for a step that the kernel or a driver took without doing it."""
    return f"{describe(change)}: accepted, and read back as before"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield where two bodies differ, each place with both values if they are short."""
    for key in [*before, *(key for key in after if key not in before)]:
        old, new, place = before.get(key), after.get(key), f"{path}{key}"
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{place} ")
        elif len(_show(old)) + len(_show(new)) > _SHORT:
            yield f"{place}: {'new' if old is None else 'removed' if new is None else 'changed'}"
        else:
            yield f"{place}: {_show(old)} -> {_show(new)}"


def _show(value: Any) -> str:
    return "absent" if value is None else str(value)


def diff(changes: Sequence[Change]) -> dict[str, Any]:
    """Return ``{"before": tree, "after": tree}`` over the paths of the changes."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for change in changes:
        _place(before, change.path, change.before)
        _place(after, change.path, change.after)
    return {"before": before, "after": after}


def _place(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    if value is None:
        return
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = str(value) if getattr(value, "brief", False) else value


@dataclass
class Findings:
    """Collects every reason before one error speaks of them all."""

    reasons: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        """Note one reason; it should name what, where, the limit and the way out."""
        self.reasons.append(reason)

    def raise_if_any(self, kind: type[CoreError], headline: str, **facts: Any) -> None:
        """Raise ``kind`` with the headline and all reasons, if there is any."""
        if self.reasons:
            raise kind(f"{headline}: " + "; ".join(self.reasons), reasons=list(self.reasons), **facts)


def exit_arguments(outcome: Outcome, **facts: Any) -> Mapping[str, Any]:
    """Return the keyword arguments every module of the collection exits with."""
    return {
        "changed": outcome.changed,
        "diff": outcome.diff,
        "changes": [describe(change) for change in outcome.changes],
        **facts,
    }
