# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Single requests that carry out a plan, one after the other, until the server lists what is planned.

A server that answers with an error, or drops the connection, may have done what it was sent; and somebody else may do
the same at the same time. So after an answer that does not say what is stored now, the list does: it is read and
planned again, and what is there by then goes on as present.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._core.backoff import Backoff
from .._core.converge import CoreError, NotConverged, half_way
from .http import Reply, Unanswered
from .plan import CONFLICT, CREATE, DELETE, ROTATE, UNSEEN, WRITES, Plan, Step
from .server import Ability
from .server_rows import Listing
from .session import Failed, Session

TRIES = 2  # of a step of which the list then says that it was not done
LISTS = 3  # of a server that does not answer, as while it starts again
_BACKOFF = Backoff(first=1.0, limit=10.0)

# Done steps, those that were left when they were planned last, and the step that was just answered.
Progress = Callable[[int, int, Step], None]
_Key = tuple[str, str, tuple[str, ...]]


@dataclass
class Course:
    """What became of a plan.

    Attributes:
        done: Steps that are done, by this run as far as it can be known.
        refused: Steps that the server refuses, each with the reason.
        plan: Made of what the server lists at the end.
    """

    plan: Plan
    done: list[Step] = field(default_factory=list)
    refused: list[Step] = field(default_factory=list)

    @property
    def whole(self) -> Plan:
        """Each step once, whether it was done, refused, or needed nothing."""
        done = list({_key(step): step for step in self.done}.values())
        refused = list({step.name: step for step in self.refused}.values())
        named = {step.name for step in (*done, *refused)}
        rest = [step for step in self.plan.steps if step.name not in named and step.action not in WRITES]
        return Plan([*done, *rest, *refused], self.plan.warnings)


class Carrier:
    """Carries out plans on one server.

    Args:
        session: Who asks.
        ability: How the server changes a service.
        list_rows: Reads what the server lists.
        make_plan: Plans from that.
        progress: Called after each step.
        wait: Sleeps for some seconds.
    """

    def __init__(
        self,
        session: Session,
        ability: Ability,
        list_rows: Callable[[], Listing],
        make_plan: Callable[[Listing], Plan],
        progress: Progress,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session, self._ability = session, ability
        self._list_rows, self._make_plan = list_rows, make_plan
        self._progress, self._wait = progress, wait
        self._tries: Counter[_Key] = Counter()

    def carry_out(self, plan: Plan) -> Course:
        """Bring the server to what is planned, and read it back.

        Raises:
            NotConverged: The server accepted a step, and lists as before.
            ApplyFailed: No more answers came, the token ended, or the list does not hold still; it says what stands.
        """
        course = Course(plan)
        try:
            while left := self._left(course):
                uncertain = self._send_all(course, left)
                listing = self._listed_again()
                course.plan = self._make_plan(listing)
                self._judge(course, uncertain, bool(listing.hidden))
        except NotConverged:
            raise
        except CoreError as error:
            stands = [f"{step.action} {step.name}" for step in course.done]
            raise half_way(error, stands, nothing="run again: it finds out what of it was carried out") from error
        return course

    def _left(self, course: Course) -> list[Step]:
        refused = {step.name for step in course.refused}
        return [step for step in course.plan.writes if step.name not in refused]

    def _send_all(self, course: Course, steps: Sequence[Step]) -> tuple[Step, Exception] | None:
        """Send the steps up to one of which it is uncertain whether it is done; return that one, and why."""
        for number, step in enumerate(steps, 1):
            self._tries[_key(step)] += 1
            try:
                reply = self._send(step)
            except Unanswered as error:
                return step, error
            if reply.succeeded or (step.action == DELETE and reply.status == 404):
                course.done.append(step)
            elif _is_uncertain(step, reply):
                return step, Failed(f"{step.action} {step.name}", self._session, reply)
            else:
                course.refused.append(_refused(step, self._session.http.reason(reply)))
            self._progress(len(course.done), len(course.done) + len(steps) - number, step)
        return None

    def _judge(self, course: Course, uncertain: tuple[Step, Exception] | None, unseen: bool) -> None:
        """Decide, by what the server lists now, about steps that are still planned though they were sent.

        Args:
            course: So far.
            uncertain: The step of which the answer did not say what is stored now, and that answer.
            unseen: Whether the server has rows that its list cannot show.
        """
        planned = {_key(step): step for step in course.plan.writes}
        if uncertain:
            step, error = uncertain
            reply = error.reply if isinstance(error, Failed) else None
            if _key(step) not in planned:
                # A name that exists was made by somebody else just now; anything else is as it was sent.
                if reply is None or reply.status >= 500:
                    course.done.append(step)
            elif reply is not None and step.action == CREATE and reply.status == 400:
                said = self._session.http.reason(reply)
                hidden = UNSEEN if unseen else "it is one that this user cannot see: choose another app name"
                course.refused.append(_refused(step, f"{said}, and {hidden}" if "exists" in said else said))
            elif self._tries[_key(step)] >= TRIES:
                course.refused.append(_refused(step, f"{error}; and the server lists it as before"))
        again = [step for key, step in planned.items() if self._tries[key] >= TRIES]
        refused = {step.name for step in course.refused}
        if stuck := [step for step in again if step.name not in refused]:
            names = ", ".join(f"{step.action} {step.name}" for step in stuck)
            raise NotConverged(f"accepted {TRIES} times, but the server lists it as before: {names}")

    def _listed_again(self) -> Listing:
        for tries in range(1, LISTS):
            try:
                return self._list_rows()
            except (Unanswered, Failed) as error:
                if isinstance(error, Failed) and error.reply.status < 500:
                    raise
                self._wait(_BACKOFF.delay(tries - 1))
        return self._list_rows()

    def _send(self, step: Step) -> Reply:
        ask = self._session.ask
        if step.action == CREATE:
            return ask("POST", "/services", dict(step.after))
        if step.action == DELETE:
            return ask("DELETE", f"/services/{step.id}")
        if step.action == ROTATE:
            return ask("POST", f"/services/{step.id}/rotate-token", dict(step.after))
        body: Mapping[str, Any] = step.after if self._ability.update == "PATCH" else step.whole
        return ask(self._ability.update, f"/services/{step.id}", dict(body))


def _key(step: Step) -> _Key:
    """Return what is the same of a step when it is planned again."""
    return step.action, step.name, tuple(sorted(step.after))


def _is_uncertain(step: Step, reply: Reply) -> bool:
    """Whether an answer leaves open what is stored now: an error, a name that exists, a row that is gone."""
    return reply.status >= 500 or (step.action == CREATE and reply.status in (400, 409)) or reply.status == 404


def _refused(step: Step, reason: str) -> Step:
    return replace(step, action=CONFLICT, reason=f"{step.action}: {reason}")
