# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The documented import: everything in one request, of which the document does not say what a second one does.

What the server lists afterwards says what became of it. Its mappings cannot be read, so what was sent is known again by
a digest, which the operator has kept in a file, the receipt; without one they are sent each time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._core.converge import Impossible, NotConverged
from .._core.system import Host
from .http import Reply, Unanswered
from .model import DRAINED, PRESENT, Gateway, Settings
from .plan import CONFLICT, CREATE, DELETE, REVIVE, ROTATE, UNCHANGED, UNSUPPORTED, UPDATE, Plan, Step, plan
from .server import IMPORT_PATH, Ability, has_no_import
from .server_rows import Listing, Page, read_page
from .session import API, Failed, Session

PARTLY = 207
ACCEPTED = (200, 201, 202, 204, PARTLY)  # what scripts/marchproxy-import.sh accepts, and a part, which it never does
READ_BACK_TRIES, READ_BACK_SECONDS = 5, 1.0  # a server may import after it has answered
# What an import brings about; a soft-deleted service is the server's to bring back.
_IMPORTED = (CREATE, UPDATE, REVIVE)
RECEIPT_MODE = 0o600
_NO_DRAIN = "the documented API has no way to take a service out of traffic: remove it by state absent"
_UNREADABLE = "the documented API does not list mappings, so it is not known whether it is there"


class Importer:
    """The documented API of one server.

    Args:
        session: Who asks.
        ability: What its import takes.
        host: Where the receipt is.
        receipt: Path of that file; None for none.
        wait: Sleeps for some seconds.
    """

    def __init__(
        self,
        session: Session,
        ability: Ability,
        host: Host,
        receipt: str | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session, self._ability, self._host = session, ability, host
        self._receipt, self._wait = receipt, wait

    def rows(self) -> Page:
        """Return what the server lists to the holder of the key."""
        return read_page(self._session)

    def planned(self, gateway: Gateway, page: Page, settings: Settings) -> Plan:
        """Return what an import would bring about.

        Raises:
            Impossible: Services are to be removed, and the server does not list any.
        """
        if settings.state == DRAINED:
            return Plan([Step(UNSUPPORTED, service.name, reason=_NO_DRAIN) for service in gateway.services])
        listing = page.listing
        if listing is None and (settings.state != PRESENT or settings.prune):
            raise Impossible(
                "the server does not list its services to the holder of cluster_key"
                f"{f' ({page.refused})' if page.refused else ''}, so none can be removed"
            )
        # Of a key that is refused the import has to tell whether it is still one.
        sent_last = settings.state == PRESENT and not page.refused and self._is_sent_last(gateway, settings)
        if listing is None and sent_last:
            names = [service.name for service in gateway.services] + [route.name for route in gateway.mappings]
            return Plan([Step(UNCHANGED, name, reason="as it was sent last") for name in names])
        made = self._compared(gateway, listing, settings)
        routes = () if sent_last or settings.state != PRESENT else gateway.mappings
        sent = [Step(UPDATE, route.name, after=route.exported(), reason=_UNREADABLE) for route in routes]
        return Plan([*made.steps, *sent], made.warnings)

    def _compared(self, gateway: Gateway, listing: Listing | None, settings: Settings) -> Plan:
        """Return the plan but for what an import cannot do: rows that nobody describes, secrets of the server's."""
        described = {service.name for service in gateway.services}
        made = plan(gateway.services, (), listing.rows if listing else (), settings)
        steps = [
            step for step in made.steps if step.action != ROTATE and (step.name in described or step.action == DELETE)
        ]
        return Plan(steps, made.warnings)

    def carry_out(self, made: Plan, gateway: Gateway, settings: Settings) -> bool:
        """Send the import where the plan has something for it, then the deletions; and read back.

        Returns:
            Whether the server's list says that the services are as described; False where it cannot be read.

        Raises:
            Failed: The server refused, or took a part and does not list which.
            NotConverged: It accepted, and lists something else.
            Unanswered: No answer came in time.
        """
        imports = [step for step in made.writes if step.action in _IMPORTED]
        taken = self._import(made, gateway, settings) if imports else None
        for step in made.writes:
            if step.action == DELETE:
                reply = self._session.ask_with_key("DELETE", f"/services/{step.id}")
                if not reply.succeeded and reply.status != 404:
                    raise Failed(f"delete {step.name}", self._session, reply)
        verified = self._read_back(made, gateway, settings)
        if taken and taken.status == PARTLY:
            # The part that is missing may be mappings: so the next run sends them again.
            if self._receipt:
                self._host.remove(self._receipt)
            if not verified:
                what = f"POST {API}{IMPORT_PATH}: the server took a part of it and does not list which"
                raise Failed(what, self._session, taken)
        elif imports:
            self._keep(gateway, settings)
        return verified

    def _import(self, made: Plan, gateway: Gateway, settings: Settings) -> Reply | None:
        """Return the answer that accepts it; None where there was none, and the list says that it came."""
        for last in (False, True):
            try:
                reply = self._session.ask_with_key("POST", IMPORT_PATH, self._document(made, gateway, settings))
            except Unanswered:
                if last:
                    raise
            else:
                if reply.status in ACCEPTED:
                    return reply
                if has_no_import(reply):
                    way = "which this server does not have (for single services give a token, or username and password)"
                    raise Failed(f"POST {API}{IMPORT_PATH}, {way}", self._session, reply)
                if last or reply.status < 500:
                    raise Failed(f"POST {API}{IMPORT_PATH}", self._session, reply)
            self._wait(READ_BACK_SECONDS)
            if self._has_come(made, gateway, settings):
                break
        return None

    def _has_come(self, made: Plan, gateway: Gateway, settings: Settings) -> bool:
        """Return whether all of an import without a good answer is there; else it is sent again, once.

        The document does not say that it may be: so it is not where the list shows all that was sent. What no list
        shows would be lost otherwise.
        """
        listing = self.rows().listing
        if listing is None or gateway.mappings:
            return False
        # Without what is to be removed: that is still there.
        return not self._left(made, gateway, listing, replace(settings, prune=False))

    def _document(self, made: Plan, gateway: Gateway, settings: Settings) -> Mapping[str, Any]:
        taken = _taken(made)
        document: dict[str, Any] = {
            "services": [one.exported() for one in gateway.services if one.name not in taken],
            "metadata": dict(gateway.metadata),
        }
        if gateway.mappings:  # none are no wish to have none: those that a restore does not know stay
            document["mappings"] = [one.exported() for one in gateway.mappings]
        if self._ability.cluster_id and settings.cluster_id is not None:
            document["cluster_id"] = settings.cluster_id
        return document

    def _read_back(self, made: Plan, gateway: Gateway, settings: Settings) -> bool:
        """Return whether the server lists what was sent; raise where it lists something else."""
        left: Sequence[str] = ()
        for tries in range(READ_BACK_TRIES):
            if tries:
                self._wait(READ_BACK_SECONDS)
            listing = self.rows().listing
            if listing is None:
                return False
            left = self._left(made, gateway, listing, settings)
            if not left:
                return True
        raise NotConverged(f"the server accepted the import, and lists something else; left are: {'; '.join(left)}")

    def _left(self, made: Plan, gateway: Gateway, listing: Listing, settings: Settings) -> list[str]:
        """Return what the server lists otherwise than it was sent; what was left out of it is none of that."""
        now, taken = self._compared(gateway, listing, settings), _taken(made)
        lost = {row.name for row in listing.rows if row.fields.get("collection") != settings.collection}
        left = [f"{step.action} {step.name} ({', '.join(step.after)})" for step in now.writes]
        for step in now.steps:
            if step.action == CONFLICT and step.name not in taken:
                why = "the server does not keep or list its collection" if step.name in lost else step.reason
                left.append(f"{step.action} {step.name} ({why})")
        return left

    def _is_sent_last(self, gateway: Gateway, settings: Settings) -> bool:
        return bool(self._receipt) and self._host.read(self._receipt or "") == self._digest(gateway, settings)

    def _keep(self, gateway: Gateway, settings: Settings) -> None:
        if self._receipt:
            self._host.write_atomically(self._receipt, self._digest(gateway, settings) + "\n", RECEIPT_MODE)

    def _digest(self, gateway: Gateway, settings: Settings) -> str:
        sent = [self._session.http.place, self._document(Plan(()), gateway, settings)]
        return hashlib.sha256(json.dumps(sent, sort_keys=True).encode("utf-8")).hexdigest()


def _taken(made: Plan) -> set[str]:
    """Return names that an import leaves out, as they are somebody else's."""
    return {step.name for step in made.steps if step.action == CONFLICT}
