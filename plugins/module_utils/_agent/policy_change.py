# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Changes of one owner's document of a policy: put in force on all of its NICs, noted, and taken back unless confirmed.

The way back is the guard's, which ``tripod-watch`` holds: it comes whatever becomes of this process, or of this boot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from .._core import lock
from .._core.converge import ApplyFailed, Change, CoreError, Invalid, Refused, converge
from .._core.system import Host
from .._guard import outcome, sessions
from .._guard.arm import Guard, arm
from .._guard.record import APART, Record, archive_record, boot_clock, locked, records
from .._policy.merge import IDENTITIES, INVENTORY
from .._xdp import policy_documents, policy_judged, policy_resource, policy_set
from .._xdp.policy_trial import BREAKS, NEVER
from .policy_errors import Busy, Conflict, Missing
from .policy_history import UNKNOWN, History, Revision, compare

PATIENCE = 20.0  # seconds for whoever else changes the host; a swap with many entries takes a few
# What a guard of a policy restores, and no more: the rest of the agent has no business in this process.
_REAPPLIERS = {
    policy_documents.KIND: policy_documents.reapply,
    policy_resource.KIND: policy_resource.reapply,
    policy_judged.KIND: policy_judged.reapply,
}


@dataclass(frozen=True)
class Wish:
    """What is requested of one owner's document.

    Attributes:
        document: All of it; empty to remove it.
        expected: The revision that must be in force; None for any.
        confirm: Seconds to confirm in; None where it stays at once.
        dry_run: Only say what would change.
        back: Whether it was in force before; then no test refuses it, as the way back is always open.
        by: Who requests it.
        name: A name for the revision.
        why: The reason.
        connection: The client's, which does not confirm it.
        bodies: Of the state files of all owners by owner, which are requested in place of ``document``.
    """

    policy: str
    owner: str = ""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    expected: int | None = None
    confirm: float | None = None
    dry_run: bool = False
    back: bool = False
    by: str = ""
    name: str = ""
    why: str = ""
    connection: sessions.Ssh | None = None
    bodies: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)

    @property
    def whose(self) -> str:
        """Whose parts change, in words."""
        return f"owner {self.owner}" if self.bodies is None else "all owners"


class Changes:
    """Carries out changes, one at a time.

    Args:
        host: The machine.
        state_dir: Where the state files are.
        history: Returns the history of a policy.
    """

    def __init__(self, host: Host, state_dir: str, history: Callable[[str], History]) -> None:
        self._host, self._state_dir, self._history = host, state_dir, history

    def put(self, wish: Wish) -> dict[str, Any]:
        """Replace an owner's document.

        Raises:
            CoreError: It makes no policy, or cannot be put in force; nothing was changed.
        """
        self._require(wish.policy)
        if not wish.dry_run:
            self._let_return(wish.policy)
        with nullcontext() if wish.dry_run else _alone(self._host):
            history, before = self._begin(wish)
            was = history.present(wish.owner if wish.bodies is None else None)
            interfaces, warnings = policy_judged.takers(self._host, wish.policy, self._state_dir)
            resource = policy_set.PolicySet(self._desired(wish, interfaces), preview=wish.dry_run)
            guard = _Arming(self._host, resource.desired, wish)
            try:
                done = converge(resource, resource.desired, self._host, wish.dry_run, guard)
            except ApplyFailed:
                guard.drop()
                raise
            warnings += resource.warnings
            if not wish.dry_run and history.in_force() != before.files:
                changed = _differing(before.files, history.in_force()) if wish.bodies is not None else [wish.owner]
                noted = {"owner": ", ".join(changed), "by": wish.by, "name": wish.name, "why": wish.why}
                before = history.record(time.time(), requested=True, **noted)
        return {
            "changed": done.changed,
            "revision": before.number,
            "pending": self.pending(wish.policy),
            "summary": compare(was, _after(wish)),
            "warnings": warnings,
            "flips": [one._asdict() for one in done.state.trial.flips],
        }

    def restore(self, wish: Wish, revision: int) -> dict[str, Any]:
        """Go back to a revision whole, the parts of all owners with it.

        Args:
            wish: All but owner and document.
            revision: Which.

        Raises:
            Missing: There is no such revision.
            Impossible: A file of it is gone or damaged.
        """
        self._require(wish.policy)
        history = self._history(wish.policy)
        chosen = history.revision(revision)
        bodies = {owner: history.body(chosen, owner) for owner in chosen.files}
        name = wish.name or f"restored from revision {revision}"
        done = self.put(replace(wish, bodies=bodies, back=True, name=name))
        if any(line.startswith(f"{INVENTORY}:") for line in done["summary"]):
            done["warnings"].append(
                f"the next run of the playbook brings the inventory's part of policy {wish.policy} back as it is "
                "there: change it there too"
            )
        return done

    def revert(self, wish: Wish, revision: int | None) -> dict[str, Any]:
        """Go back to an owner's document as it was.

        Args:
            wish: All but the document.
            revision: Which; None for the one before, or for what a change replaced that waits to be confirmed.

        Raises:
            Missing: There is no such revision.
        """
        self._require(wish.policy)
        guard = guard_of(self._host, wish.policy)
        if guard and revision is None:
            return self._take_back(wish, guard)
        history = self._history(wish.policy)
        chosen = _chosen(history, wish.owner, revision)
        document = history.body(chosen, wish.owner).get("document", {})
        return self.put(replace(wish, document=document, back=True, name=wish.name or f"as revision {chosen.number}"))

    def _take_back(self, wish: Wish, guard: Record) -> dict[str, Any]:
        history = self._history(wish.policy)
        taken = history.current()
        if wish.dry_run:
            raise Invalid(f"revision {taken and taken.number} waits to be confirmed: it is taken back, or it is not")
        found = outcome.revert(self._host, _REAPPLIERS, guard.id)
        if not found:
            raise Missing(f"nothing of policy {wish.policy} waits to be confirmed any more")
        [ended] = found
        if ended.errors:
            raise CoreError("; ".join(ended.errors))
        with locked(self._host):
            archive_record(self._host, ended)
        with _alone(self._host):
            current = history.record(time.time())
        was = history.documents(taken) if taken else {}
        return {
            "changed": True,
            "revision": current.number,
            "pending": None,
            "summary": compare(was, history.documents(current)),
            "warnings": [],
            "flips": [],
        }

    def confirm(self, policy: str, revision: int | None, connection: sessions.Ssh | None) -> int:
        """Keep what waits to be confirmed, and return its revision.

        Raises:
            Missing: Nothing waits.
            Conflict: Another revision does.
            Refused: It comes by the connection that the change came by.
        """
        self._require(policy)
        guard, current = guard_of(self._host, policy), self._history(policy).current()
        number = current.number if current else 0
        if guard is None:
            raise Missing(f"nothing of policy {policy} waits to be confirmed; revision {number} is in force")
        if revision not in (None, number):
            raise Conflict(f"revision {revision} is not in force, {number} is: it waits to be confirmed")
        outcome.confirm(self._host, guard.id, session=sessions.Session(sessions.UNKNOWN, connection))
        return number

    def pending(self, policy: str) -> dict[str, Any] | None:
        """Return what of a policy waits to be confirmed."""
        guard = guard_of(self._host, policy)
        # What is being taken back waits for nobody, and its files are the former ones before all else is.
        if guard is None or not guard.waits:
            return None
        current = self._history(policy).current()
        return {
            "revision": current.number if current else 0,
            "deadline": time.time() + guard.deadline - boot_clock(),
            "by": current.by if current else "",
        }

    def _require(self, policy: str) -> None:
        policy_documents.check_name(policy)
        known = policy_documents.names(self._host, self._state_dir)
        if policy not in known:
            raise Missing(f"there is no policy {policy} on this host; there are {', '.join(known) or 'none'}")

    def _let_return(self, policy: str) -> None:
        """Wait until what is being taken back is; who holds the lock on changes would wait for whoever waits for it."""
        guard = guard_of(self._host, policy)
        if guard and not guard.waits:
            with suppress(Refused), locked(self._host):
                pass

    def _begin(self, wish: Wish) -> tuple[History, Revision]:
        """Return the history with what is in force now, once nothing speaks against a change."""
        history = self._history(wish.policy)
        current = history.current() if wish.dry_run else history.record(time.time())
        current = current or UNKNOWN
        if wish.expected not in (None, current.number):
            raise Conflict(
                f"revision {current.number} of policy {wish.policy} is in force, not {wish.expected}: read it again "
                "and make the change to that"
            )
        guard = guard_of(self._host, wish.policy)
        if guard and not guard.waits and not wish.dry_run:
            raise Conflict(f"a change of policy {wish.policy} is being taken back: ask again in a moment")
        if guard and not wish.dry_run:
            raise Conflict(
                f"revision {current.number} of policy {wish.policy} waits to be confirmed, "
                f"{max(0.0, guard.deadline - boot_clock()):.0f} s are left: confirm or revert it first"
            )
        return history, current

    def _desired(self, wish: Wish, interfaces: Sequence[Mapping[str, Any]]) -> policy_set.DesiredPolicy:
        places = {"pin_root": interfaces[0]["pin_root"]} if interfaces else {}
        return policy_set.DesiredPolicy(
            name=wish.policy,
            interfaces=[one["interface"] for one in interfaces],
            document=_owned(wish),
            owner=wish.owner or INVENTORY,
            refuses=NEVER if wish.back else BREAKS,
            state_directory=self._state_dir,
            bodies=wish.bodies,
            **places,
        )


class _Arming:
    """Arms the guard before the first step; ``converge`` calls it."""

    def __init__(self, host: Host, desired: policy_set.DesiredPolicy, wish: Wish) -> None:
        self._host, self._desired, self._wish = host, desired, wish
        self._guard: Guard | None = None

    def drop(self) -> None:
        """Let the guard go, as what it was for is not in force."""
        if self._guard:
            outcome.confirm(self._host, self._guard.id, session=sessions.Session(sessions.UNKNOWN))

    def __call__(self, changes: Sequence[Change], state: policy_set.SetState) -> None:
        wish, desired = self._wish, self._desired
        if wish.confirm is None:
            return
        self._guard = arm(
            self._host,
            f"{APART}{wish.policy}",
            (),
            wish.confirm,
            f"a change of {wish.whose} by {wish.by}",
            [policy_judged.restore(wish.policy, desired.state_directory, desired.interfaces)],
            policy_set.guarded_files(desired, state),
            session=wish.connection,
        )


def guard_of(host: Host, policy: str) -> Record | None:
    """Return the guard of a change of a policy that waits to be confirmed, or is being taken back."""
    return next((one for one in records(host) if one.open and one.subject == f"{APART}{policy}"), None)


def _chosen(history: History, owner: str, number: int | None) -> Revision:
    known = history.revisions()
    current = history.current(known)
    if number is not None:
        return history.revision(number)
    present = current.files.get(owner) if current else None
    earlier = [one for one in known if current is None or one.number < current.number]
    found = next((one for one in reversed(earlier) if not one.reverted and one.files.get(owner) != present), None)
    if found is None:
        kept = ", ".join(str(one.number) for one in known) or "none"
        raise Missing(f"there is no earlier document of owner {owner} to go back to; kept are {kept}")
    return found


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the owners whose files differ."""
    return [owner for owner in dict.fromkeys((*before, *after)) if before.get(owner) != after.get(owner)]


def _after(wish: Wish) -> dict[str, Mapping[str, Any]]:
    """Return the documents that are requested, by owner."""
    if wish.bodies is None:
        return {wish.owner: _owned(wish)}
    return {owner: body["document"] for owner, body in wish.bodies.items()}


def _owned(wish: Wish) -> dict[str, Any]:
    """Return the document without owners, which the host sets."""
    return {
        key: [{name: value for name, value in part.items() if name != "owner"} for part in parts]
        if key in IDENTITIES
        else parts
        for key, parts in wish.document.items()
    }


@contextmanager
def _alone(host: Host) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(lock.alone(host, PATIENCE))
        except Refused as error:
            raise Busy(str(error)) from None
        yield
