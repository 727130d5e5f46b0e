"""The API's part of each policy of each host, kept here too: a host that lost it, as by a reinstallation, gets it back.

What a host has is the host's word, and nothing of it is overwritten. Only one that has no part of the API's, and whose
history goes back to its first revision and has none either, was made anew.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from dataclasses import dataclass
from typing import Any

from . import trail
from .database import Conflict, Database, DatabaseUnavailable, now
from .errors import ApiError
from .migrations import SchemaMismatch
from .planes import Plane, Planes
from .schemas import Draft

logger = logging.getLogger(__name__)

OWNER = "api"
# Who did it, for the host's history and the audit trail.
NAME = "flask-backend"
WHY = "given back: the host had lost it"
# A random part of it is waited for, so that the workers of all APIs do not come to a host at once.
EVERY_SECONDS = 20.0


@dataclass(frozen=True)
class Copy:
    """The API's part of a policy, as it was when nobody had to confirm it any more."""

    revision: int
    digest: str
    document: dict[str, Any]


class Copies:
    """Looks at all hosts, beside the requests.

    Args:
        database: Where the copies are.
        planes: The hosts.
    """

    def __init__(self, database: Database, planes: Planes) -> None:
        self._database = database
        self._planes = planes
        # However many hosts are looked at, they have one connection to the database.
        self._turn = threading.Lock()
        # What a host refused to take back is not asked of it again until something changes there.
        self._refused: dict[tuple[str, str], tuple[int, str]] = {}

    def start(self) -> None:
        """Begin to look, at each host by itself; after gunicorn's fork, as threads do not survive one."""
        for plane in self._planes:
            threading.Thread(target=self._run, args=(plane,), name=f"copies-{plane.name}", daemon=True).start()

    def look(self, plane: Plane) -> list[str]:
        """Keep what a host has, give back what it lost, and return the names of the policies of which that was.

        Raises:
            ApiError: It does not answer, or not now.
            DatabaseUnavailable: The database does not.
        """
        states = plane.agent.policies()["policies"]
        return [state["name"] for state in states if state["pending"] is None and self._look_at(plane, state)]

    def _look_at(self, plane: Plane, state: dict[str, Any]) -> bool:
        """Look at one policy, and tell whether it was given back."""
        name = state["name"]
        copy = self._kept(plane, name)
        if copy is not None and (copy.revision, copy.digest) == (state["revision"], state["digest"]):
            return False
        found = plane.agent.policy(name)
        if found["pending"] is not None or found["revision"] != state["revision"]:
            # Somebody changes it at this moment.
            return False
        history = plane.agent.history(name)
        remembered = any(one["owner"] == OWNER for one in history)
        # Ten revisions are kept, and they are counted from 1.
        anew = min((one["revision"] for one in history), default=1) == 1
        if found["own"] or remembered or not anew:
            self._keep(plane, name, Copy(state["revision"], state["digest"], found["own"]))
        elif copy is not None and copy.document:
            return self._give_back(plane, state, copy)
        return False

    def _give_back(self, plane: Plane, state: dict[str, Any], copy: Copy) -> bool:
        name, here = state["name"], (state["revision"], state["digest"])
        if self._refused.get((plane.name, name)) == here:
            return False
        self._note(plane, name, "asked", copy.document)
        # Whoever changes it meanwhile, another worker that gives it back among them, is first.
        draft = Draft(document=copy.document, expected=state["revision"], confirm_seconds=0, why=WHY)
        told = {"host": plane.name, "policy": name, "was_revision": copy.revision}
        try:
            made = plane.agent.put(name, draft, NAME)
        except ApiError as error:
            step = "refused" if error.status < 500 else "unanswered"
            if error.status < 500:
                self._refused[plane.name, name] = here
            self._note(plane, name, step, {"code": error.code})
            logger.warning("policy not given back", extra={**told, "reason": error.message})
            return False
        self._note(plane, name, "done", {key: made[key] for key in ("changed", "revision", "summary")})
        logger.warning("policy given back", extra={**told, "revision": made["revision"]})
        return True

    def _kept(self, plane: Plane, name: str) -> Copy | None:
        with self._turn, self._database.transaction() as db:
            table = db.policy_copies
            row = db((table.host == plane.name) & (table.policy == name)).select().first()
            return Copy(row.revision, row.digest, json.loads(row.document)) if row else None

    def _keep(self, plane: Plane, name: str, copy: Copy) -> None:
        document = json.dumps(copy.document, ensure_ascii=False, separators=(",", ":"))
        values = {"revision": copy.revision, "digest": copy.digest, "document": document, "kept_at": now()}
        with self._turn, self._database.transaction() as db:
            table = db.policy_copies
            if not db((table.host == plane.name) & (table.policy == name)).update(**values):
                table.insert(host=plane.name, policy=name, **values)

    def _note(self, plane: Plane, name: str, step: str, became: dict[str, Any]) -> None:
        target = f"policy {name} on {plane.name}" if self._planes.several else f"policy {name}"
        with self._turn, self._database.transaction() as db:
            trail.add(db, trail.Entry(f"policy given back {step}", target, NAME, became=became))

    def _run(self, plane: Plane) -> None:
        pause = threading.Event()
        while True:
            pause.wait(random.uniform(EVERY_SECONDS / 2, EVERY_SECONDS))  # noqa: S311  (to be spread, not to be secret)
            try:
                self.look(plane)
            except (ApiError, Conflict, DatabaseUnavailable, SchemaMismatch):
                # Breakers and the watch say so; the next look is soon.
                continue
            except Exception:
                logger.exception("the policies of a host could not be looked at", extra={"host": plane.name})
