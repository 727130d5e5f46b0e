# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The last revisions of each policy: who changed what, when and why, and the way back to each.

A revision holds the files of all owners as they were, each stored once under its digest. Which revision is in force is
never saved: it is the one whose files are those on the host, so a guard that restores them needs no word here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from .._core import state_store
from .._core.converge import Impossible
from .._core.system import Host
from .._policy.differences import differences
from .._xdp import policy_documents
from .policy_errors import Missing

DIRECTORY = "/var/lib/tripod/policy"
KEPT = 10
FORMAT = 1
CURRENT, PENDING, SUPERSEDED, REVERTED = "current", "pending", "superseded", "reverted"

_log = logging.getLogger("tripod-host")


@dataclass(frozen=True)
class Revision:
    """What a policy was.

    Attributes:
        number: Counts up from 1.
        time: When it was brought about, in seconds since the epoch.
        owner: Whose document changed; "" where that is not known.
        by: Who requested it, in words.
        name: A name for it.
        why: The reason given.
        files: Digest of each owner's file.
        summary: A line for each part that differs from the revision before.
        reverted: Whether it was taken back, and another came after that.
    """

    number: int
    time: float
    owner: str
    by: str
    name: str
    why: str
    files: Mapping[str, str]
    summary: Sequence[str] = ()
    reverted: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the whole policy, over its owners' files."""
        return digest(self.files)


# Of a policy that nobody has looked at yet.
UNKNOWN = Revision(0, 0.0, "", "", "", "", {})


def digest(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of a policy, given those of its owners' files."""
    return _sha256("".join(f"{owner} {one}\n" for owner, one in sorted(files.items())))


class History:
    """The revisions of a policy.

    Args:
        host: The machine.
        policy: Its name.
        state_dir: Where the owners' files are.
        directory: Where the revisions are.
    """

    def __init__(
        self, host: Host, policy: str, state_dir: str = state_store.DIRECTORY, directory: str = DIRECTORY
    ) -> None:
        policy_documents.check_name(policy)
        self._host, self._policy, self._state_dir = host, policy, state_dir
        self._directory = f"{directory}/{policy}"

    def revisions(self) -> list[Revision]:
        """Return the revisions that are kept, the oldest first."""
        try:
            content = json.loads(self._host.read(self._index) or '{"format": 1, "revisions": []}')
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r} is not {FORMAT}")
            return [Revision(**one) for one in content["revisions"]]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning("%s cannot be understood, so a new history begins: %s", self._index, error)
            return []

    def in_force(self) -> dict[str, str]:
        """Return the digest of each owner's file as it is on the host."""
        return {owner: _sha256(text) for owner, text in self._texts().items()}

    def current(self, revisions: Sequence[Revision] | None = None) -> Revision | None:
        """Return the revision that is in force; None where the files on the host are those of none."""
        files = self.in_force()
        known = self.revisions() if revisions is None else revisions
        return next((one for one in reversed(known) if one.files == files), None)

    def revision(self, number: int) -> Revision:
        """Return the revision of that number.

        Raises:
            Missing: It is not kept.
        """
        known = {one.number: one for one in self.revisions()}
        if number not in known:
            kept = ", ".join(map(str, known)) or "none"
            raise Missing(f"there is no revision {number} of policy {self._policy}; kept are {kept}")
        return known[number]

    def present(self, owner: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the documents on the host by owner, one's or those of all, as far as they can be read."""
        return _documents({one: text for one, text in self._texts().items() if owner in (None, one)})

    def states(self, pending: bool) -> dict[int, str]:
        """Return what has become of each revision; ``pending`` says whether the current one waits to be confirmed."""
        revisions = self.revisions()
        current = self.current(revisions)
        number = current.number if current else None
        found = {}
        for one in revisions:
            if one.number == number:
                found[one.number] = PENDING if pending else CURRENT
            else:
                later = number is not None and one.number > number
                found[one.number] = REVERTED if one.reverted or later else SUPERSEDED
        return found

    def record(
        self, now: float, *, requested: bool = False, owner: str = "", by: str = "", name: str = "", why: str = ""
    ) -> Revision:
        """Note what the files on the host are, and return the revision that is in force.

        Args:
            now: Seconds since the epoch.
            requested: Whether it is a new revision though there was the same before; else that one is in force again,
                as after a guard, and what came after it was reverted.
            owner: Whose document was changed.
            by: Who requested it.
            name: A name for it.
            why: The reason given.
        """
        revisions, texts = self.revisions(), self._texts()
        files = {one: _sha256(text) for one, text in texts.items()}
        current = self.current(revisions)
        if current and not requested:
            self._forsake([one.number for one in revisions if one.number > current.number and not one.reverted])
            return current
        before = next((one for one in reversed(revisions) if not one.reverted), None)
        made = Revision(
            number=revisions[-1].number + 1 if revisions else 1,
            time=now,
            owner=owner,
            by=by,
            name=name,
            why=why,
            files=files,
            summary=compare(self.documents(before) if before else {}, _documents(texts)),
        )
        for one, text in texts.items():
            if not self._host.exists(self._blob(files[one])):
                self._host.write_atomically(self._blob(files[one]), f"{text}\n", policy_documents.MODE)
        self._store([*revisions, made][-KEPT:])
        return made

    def body(self, revision: Revision, owner: str) -> dict[str, Any]:
        """Return the body of an owner's file as it was; empty where it had none.

        Raises:
            Impossible: It is gone, or damaged.
        """
        if owner not in revision.files:
            return {}
        place = self._blob(revision.files[owner])
        text = self._host.read(place)
        with suppress(ValueError):
            if text is not None and _sha256(text) == revision.files[owner]:
                return policy_documents.body(text)
        what = "gone" if text is None else "damaged"
        raise Impossible(
            f"revision {revision.number} of policy {self._policy} cannot be had again: {place} is {what}; take "
            "another revision, or run the playbook"
        )

    def documents(self, revision: Revision) -> dict[str, dict[str, Any]]:
        """Return the documents of a revision by owner, as far as they can be read."""
        texts = {owner: self._host.read(self._blob(name)) for owner, name in revision.files.items()}
        return _documents({owner: text for owner, text in texts.items() if text is not None})

    def close_off(self) -> None:
        """Let nobody but root read the files, which earlier ones wrote for all."""
        for name in self._host.list(self._directory):
            policy_documents.make_private(self._host, f"{self._directory}/{name}")

    def _forsake(self, numbers: Collection[int]) -> None:
        """Note that revisions were taken back before another comes after them."""
        if numbers:
            self._store([replace(one, reverted=one.reverted or one.number in numbers) for one in self.revisions()])

    @property
    def _index(self) -> str:
        return f"{self._directory}/revisions.json"

    def _blob(self, name: str) -> str:
        return f"{self._directory}/{name}"

    def _texts(self) -> dict[str, str]:
        return policy_documents.texts(self._host, self._policy, self._state_dir)

    def _store(self, revisions: Sequence[Revision]) -> None:
        content = {"format": FORMAT, "revisions": [asdict(one) for one in revisions]}
        self._host.write_atomically(self._index, json.dumps(content, indent=2) + "\n", policy_documents.MODE)
        kept = {name for one in revisions for name in one.files.values()}
        for name in self._host.list(self._directory):
            if len(name) == hashlib.sha256().digest_size * 2 and name not in kept:
                self._host.remove(self._blob(name))


def compare(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each part that differs between two policies, given the documents of their owners."""
    owners = dict.fromkeys((*before, *after))
    return [f"{one}: {line}" for one in owners for line in differences(before.get(one, {}), after.get(one, {}))]


def _documents(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return documents by owner; one that is damaged is none here, as it only serves to say what differs."""
    found = {}
    for owner, text in texts.items():
        with suppress(ValueError, TypeError, KeyError):
            found[owner] = policy_documents.document(text)
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
