# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The operations of the policy's socket: what each looks up, or has changed, and what it gives back."""

from __future__ import annotations

import datetime
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .._core import lock, state_store
from .._core.converge import CoreError
from .._core.errors import in_words
from .._core.system import Host
from .._guard import sessions
from .._guard.record import DIRECTORY as GUARDS
from .._guard.record import archive_record, locked, records, summary
from .._linux import topology
from .._policy.merge import merge
from .._samples import hits
from .._xdp import policy_documents, policy_lists
from .._xdp.request import pin_directory
from .policy_bans import Bans
from .policy_change import Changes, Wish
from .policy_errors import Forbidden, Missing
from .policy_feeds import assignments
from .policy_history import DIRECTORY as HISTORY
from .policy_history import History, compare, digest
from .policy_places import Identity, file_identity
from .policy_protocol import Request
from .policy_samples import recent
from .policy_server import Peer
from .policy_shapes import OPERATIONS

ENTRIES_SHOWN = 1000  # of each list of a policy, to those who only look
_FRESH = 3600.0  # seconds in which a file may be there before what names it
_DIGEST = re.compile(r"[0-9a-f]{64}")

Options = Mapping[str, Any]

_log = logging.getLogger("tripod-host")


class PolicyService:
    """Carries out requests.

    Args:
        host: The machine.
        bans: Those of this host.
        state_dir: Where the state files are.
    """

    def __init__(self, host: Host, bans: Bans, state_dir: str = state_store.DIRECTORY) -> None:
        self._host, self._bans, self._state_dir = host, bans, state_dir
        self._changes = Changes(host, state_dir, self._history)
        self._noted: dict[str, Mapping[str, Identity | None]] = {}
        self._unnamed: set[str] = set()  # policies that no interface named when they were last looked at
        self._operations: Mapping[str, Callable[[Options], dict[str, Any]]] = {
            "status": self._status,
            "get": self._get,
            "slots": self._slots,
            "counters": self._counters,
            "put": self._put,
            "confirm": self._confirm,
            "revert": self._revert,
            "restore": self._restore,
            "history": self._show_history,
            "diff": self._diff,
            "ban": self._ban,
            "unban": self._unban,
            "bans": self._show_bans,
            "samples": self._samples,
            "topology": self._topology,
        }

    def handle(self, request: Request, peer: Peer) -> dict[str, Any]:
        """Carry out a request and return its result.

        Raises:
            Forbidden: It is root's alone.
        """
        if OPERATIONS[request.op].root and peer.uid not in (0, os.geteuid()):
            raise Forbidden(
                f"{request.op} reaches the inventory's part, which root on the host may change: not user {peer.uid}"
            )
        options = dict(request.options)
        if "by" in options:
            options["by"] = options["by"] or f"user {peer.uid}"
        return self._operations[request.op](options)

    def _history(self, policy: str) -> History:
        return History(self._host, policy, self._state_dir)

    def _names(self) -> list[str]:
        return policy_documents.names(self._host, self._state_dir)

    def _known(self, policy: str) -> History:
        names = self._names()
        if policy not in names:
            raise Missing(f"there is no policy {policy} on this host; there are {', '.join(names) or 'none'}")
        return self._history(policy)

    def _state(self, policy: str) -> dict[str, Any]:
        history = self._history(policy)
        current = history.current()
        placements = policy_documents.interfaces(self._host, policy, self._state_dir)
        return {
            "name": policy,
            "digest": digest(history.in_force()),
            "interfaces": [one["interface"] for one in placements],
            "revision": current.number if current else 0,
            "pending": _timed(self._changes.pending(policy)),
        }

    def _status(self, _options: Options) -> dict[str, Any]:
        return {"policies": [self._state(policy) for policy in self._names()], "bans": len(self._bans)}

    def _get(self, options: Options) -> dict[str, Any]:
        self._known(options["policy"])
        documents = policy_documents.load_all(self._host, options["policy"], self._state_dir)
        return {
            **self._state(options["policy"]),
            "document": _shortened(merge(documents)),
            "own": documents.get(options["owner"], {}),
        }

    def _slots(self, _options: Options) -> dict[str, Any]:
        found = {
            name: [
                {"slot": slot, "part": kind, "id": id_}
                for part, slot in sorted(one.slots.items(), key=lambda item: item[1])
                for kind, _colon, id_ in [part.partition(":")]
            ]
            for name, one in assignments(self._host, self._state_dir).items()
        }
        return {"interfaces": found}

    def _counters(self, options: Options) -> dict[str, Any]:
        found = {}
        for name, one in assignments(self._host, self._state_dir).items():
            if options["interface"] in (None, name):
                try:
                    parts = hits.read(f"{pin_directory(one.pin_root, name)}/maps", one.slots)
                except (OSError, ValueError) as error:
                    _log.debug("%s gives no counters: %s", name, error)
                    continue
                found[name] = [{**vars(part), "last": _clock(part.last) if part.last else None} for part in parts]
        if options["interface"] is not None and not found:
            raise Missing(f"{options['interface']} has no program of this release that a policy judges by")
        return {"interfaces": found}

    def _put(self, options: Options) -> dict[str, Any]:
        given = {key: value for key, value in options.items() if key != "connection"}
        return _answered(self._changes.put(Wish(**given, connection=_connection(options))))

    def _revert(self, options: Options) -> dict[str, Any]:
        given = {key: value for key, value in options.items() if key not in ("connection", "revision")}
        wish = Wish(**given, connection=_connection(options))
        return _answered(self._changes.revert(wish, options["revision"]))

    def _restore(self, options: Options) -> dict[str, Any]:
        given = {key: value for key, value in options.items() if key not in ("connection", "revision")}
        wish = Wish(**given, connection=_connection(options))
        return _answered(self._changes.restore(wish, options["revision"]))

    def _confirm(self, options: Options) -> dict[str, Any]:
        number = self._changes.confirm(options["policy"], options["revision"], _connection(options))
        _log.info("revision %d of policy %s is confirmed by %s", number, options["policy"], options["by"])
        return {"revision": number}

    def _show_history(self, options: Options) -> dict[str, Any]:
        history = self._known(options["policy"])
        states = history.states(self._changes.pending(options["policy"]) is not None)
        return {
            "revisions": [
                {
                    "revision": one.number,
                    "time": _clock(one.time),
                    "owner": one.owner,
                    "by": one.by,
                    "name": one.name,
                    "why": one.why,
                    "digest": one.digest,
                    "summary": list(one.summary),
                    "state": states[one.number],
                }
                for one in reversed(history.revisions())
            ]
        }

    def _diff(self, options: Options) -> dict[str, Any]:
        history = self._known(options["policy"])
        before = history.documents(history.revision(options["revision"]))
        if options["to"] is None:
            after = policy_documents.load_all(self._host, options["policy"], self._state_dir)
        else:
            after = history.documents(history.revision(options["to"]))
        return {"summary": compare(before, after)}

    def _ban(self, options: Options) -> dict[str, Any]:
        made = self._bans.ban(options["address"], options["seconds"], "api", options["by"], options["comment"])
        return _ban(vars(made))

    def _unban(self, options: Options) -> dict[str, Any]:
        return {"address": self._bans.unban(options["address"])}

    def _show_bans(self, options: Options) -> dict[str, Any]:
        shown = self._bans.page(options["limit"], options["after"])
        return {"bans": [{**_ban(one), "packets": one["packets"]} for one in shown], "total": len(self._bans)}

    def _samples(self, options: Options) -> dict[str, Any]:
        found = recent(assignments(self._host, self._state_dir), options)
        return {"samples": [{**one, "time": _clock(one["time"] / 1e9)} for one in found]}

    def _topology(self, _options: Options) -> dict[str, Any]:
        return {"name": socket.gethostname(), "topology": topology.read_machine(self._host, topology.LiveProbe())}

    def tend(self) -> None:
        """Give what changed without a request its place in the history; to be called about once a second."""
        for policy in self._names():
            owners = policy_documents.owners(self._host, policy, self._state_dir)
            paths = [policy_documents.path(policy, owner, self._state_dir) for owner in owners]
            files = {path: file_identity(self._host, path) for path in paths}
            if self._noted.get(policy) != files and self._note(policy):
                self._noted[policy] = files
        for guard in records(self._host):
            if guard.apart and not guard.open:
                _log.warning("%s", summary(guard))
                with locked(self._host):
                    archive_record(self._host, guard)

    def _note(self, policy: str) -> bool:
        """Note what a policy is now; false where somebody is changing it, who notes it himself."""
        with lock.attempt(self._host) as alone:
            if alone:
                self._history(policy).record(time.time())
            return alone

    def sweep(self) -> None:
        """Remove what nothing names any more, and close what others may read; to be called about once a day."""
        self._sweep_policies()
        self._sweep_lists()
        policy_documents.close_off(self._host, self._state_dir)
        for policy in self._host.list(HISTORY):
            self._history(policy).close_off()

    def _sweep_policies(self) -> None:
        """Remove policies that no interface has named since the last time: one run may part a policy from one interface
        and give it to another."""
        with lock.attempt(self._host) as alone:
            if not alone or any(guard.open for guard in records(self._host)):
                return  # what a guard restores may name it again
            before, self._unnamed = self._unnamed, set(policy_documents.unnamed(self._host, self._state_dir))
            for policy in sorted(before & self._unnamed):
                files = policy_documents.files(self._host, policy, self._state_dir)
                paths = [state_store.path(file, self._state_dir) for file in files]
                if all(self._age(path) > _FRESH for path in paths):
                    _log.info("no interface names policy %s any more: its documents are removed", policy)
                    for path in paths:
                        self._host.remove(path)

    def _age(self, path: str) -> float:
        return time.time() - self._host.path(path).stat().st_mtime

    def _sweep_lists(self) -> None:
        """Remove files of entries that no document, guard or revision names."""
        named = {name for text in self._texts() for name in _DIGEST.findall(text)}
        for name in self._host.list(policy_lists.DIRECTORY):
            path = f"{policy_lists.DIRECTORY}/{name}"
            if name not in named and self._age(path) > _FRESH:
                self._host.remove(path)

    def _texts(self) -> Iterator[str]:
        places = [self._state_dir, GUARDS, *(f"{HISTORY}/{name}" for name in self._host.list(HISTORY))]
        for place in places:
            for name in self._host.list(place):
                try:
                    yield self._host.read(f"{place}/{name}") or ""
                except IsADirectoryError:
                    continue


def tend(step: Callable[[], None], what: str) -> None:
    """Do what is done again and again; what fails is tried again, and the rest goes on."""
    try:
        step()
    except (CoreError, OSError) as error:
        _log.warning("%s: %s; trying again", what, in_words(error))
    except Exception:
        _log.exception("%s; trying again", what)


def _ban(ban: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: ban[name] for name in ("address", "owner", "by", "comment")}
    return {**shown, "until": _clock(ban["ends"])}


def _shortened(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy in which long lists have their number of entries, and the first of them."""
    found = dict(merged)
    if "lists" in merged:
        found["lists"] = [
            {**one, "entries": len(one["prefixes"]), "prefixes": one["prefixes"][:ENTRIES_SHOWN]}
            if len(one.get("prefixes", ())) > ENTRIES_SHOWN
            else one
            for one in merged["lists"]
        ]
    return found


def _answered(result: Mapping[str, Any]) -> dict[str, Any]:
    return {**result, "pending": _timed(result["pending"])}


def _timed(pending: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if pending is None else {**pending, "deadline": _clock(pending["deadline"])}


def _connection(options: Options) -> sessions.Ssh | None:
    return sessions.Ssh(**options["connection"]) if options["connection"] else None


def _clock(seconds: float) -> str:
    """Return a moment as RFC 3339 has it."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
