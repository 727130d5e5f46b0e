# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""One import from beginning to end: what the server can do, what it lists, the plan, the way back, the writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .._core.converge import Findings, Invalid, Refused
from .._core.system import Host
from . import rollback
from .bulk import Importer
from .crud import Carrier, Progress
from .http import Http
from .model import GRPC_KEPT, Gateway, Row, Settings
from .plan import UNSUPPORTED, Plan, is_ours, plan
from .run_report import Report
from .server import BULK, Ability, chosen_cluster, detect
from .server_rows import Listing, Page, read_rows
from .session import Session
from .table import table

BACKUP_MODE = 0o600


@dataclass(frozen=True)
class Import:
    """What is requested.

    Attributes:
        gateway: What the server is to hold, checked; with ``restore`` its services are those of that file.
        settings: How rows are reconciled; without the cluster, which is looked up, and what depends on the server.
        mode: One of MODES.
        cluster_id: Of the server's clusters the one that is meant; None for the one of that name, or the only one.
        cluster: Its name.
        backup: Path of the file that what was there before is written to, before the first write; None for none.
        restore: Path of such a file, to go back to; None for none.
        receipt: Path of the file that says what a documented import sent last; None for none.
    """

    gateway: Gateway
    settings: Settings
    mode: str = "auto"
    cluster_id: int | None = None
    cluster: str | None = None
    backup: str | None = None
    restore: str | None = None
    receipt: str | None = None


@dataclass
class Runner:
    """Carries out one import.

    Attributes:
        http: The way to the server.
        session: Who asks.
        host: Where files are.
        check: Whether nothing is written, neither there nor here.
        progress: Called after each step.
        wait: Sleeps for some seconds.
    """

    http: Http
    session: Session
    host: Host
    check: bool = False
    progress: Progress = field(default=lambda done, total, step: None)
    wait: Callable[[float], None] = time.sleep

    def run(self, request: Import) -> Report:
        """Bring the server to what is requested, or say in check mode what that takes.

        Raises:
            CoreError: Something was refused or went wrong; what was done before that stands, and the message says it.
        """
        request = self._prepared(request)
        ability = detect(self.http, self.session, request.mode)
        report = self._bulk(request, ability) if ability.mode == BULK else self._crud(request, ability)
        in_clear = [f"secrets go to {self.http.place} unencrypted: give an https address"] if self.http.in_clear else []
        return replace(
            report,
            warnings=[*report.warnings, *report.plan.warnings, *_unsupported(report.plan), *in_clear],
            failures=[*report.failures, *report.plan.failures(request.settings.strict)],
            requests=self.http.requests,
            seconds=self.http.elapsed,
        )

    def _prepared(self, request: Import) -> Import:
        """Return the request with what its file holds, and every service in the collection that is reconciled."""
        collection, gateway = request.settings.collection, request.gateway
        if request.restore:
            if request.restore == request.backup:
                raise Invalid(f"restore and backup are both {request.restore}: name another file for one of them")
            text = self.host.read(request.restore)
            if text is None:
                raise Invalid(f"restore: {request.restore} is not there: give the file that backup wrote")
            kept = rollback.restored(text)
            cluster_id = kept.cluster_id if request.cluster_id is None else request.cluster_id
            settings = kept.settings(replace(request.settings, cluster_id=cluster_id), self.http.place)
            gateway = replace(gateway, services=kept.services, mappings=())
            return replace(request, gateway=gateway, settings=settings, cluster_id=cluster_id)
        wrong = Findings()
        for service in gateway.services:
            if service.collection not in (None, "", collection):
                wrong.add(
                    f"{service.name}: collection {service.collection} is not {collection}, so the next run would take "
                    "it for somebody else's: leave it out, or import it as that application"
                )
        wrong.raise_if_any(Invalid, "MarchProxy import")
        services = [replace(service, collection=collection) for service in gateway.services]
        return replace(request, gateway=replace(gateway, services=services))

    def _crud(self, request: Import, ability: Ability) -> Report:
        cluster_id = chosen_cluster(self.session, request.cluster_id, request.cluster)
        settings = replace(request.settings, cluster_id=cluster_id, mappings=False)
        found = read_rows(self.session, cluster_id)

        def planned(listing: Listing) -> Plan:
            # What the cluster's configuration does not show either is inactive, or not of this cluster.
            unseen = bool(listing.hidden) and not self.session.credentials.cluster_key
            return plan(request.gateway.services, request.gateway.mappings, listing.rows, settings, unseen)

        made = planned(found)
        illegal = found.warnings(lambda row: is_ours(row, settings))
        if not self._writes(made, request, settings):
            return Report(ability, cluster_id, made, warnings=illegal)
        self._back_up(request, found.rows, settings)
        carrier = Carrier(
            self.session,
            ability,
            lambda: read_rows(self.session, cluster_id),
            planned,
            self.progress,
            self.wait,
        )
        course = carrier.carry_out(made)
        self._finish(request)
        return Report(ability, cluster_id, course.whole, verified=not course.refused, warnings=illegal)

    def _bulk(self, request: Import, ability: Ability) -> Report:
        if not self.session.credentials.cluster_key:
            raise Refused("this server takes whole imports, for which cluster_key is required")
        settings = replace(request.settings, cluster_id=request.cluster_id, grpc=GRPC_KEPT, mappings=True)
        importer = Importer(self.session, ability, self.host, request.receipt, self.wait)
        page = importer.rows()
        made = importer.planned(request.gateway, page, settings)
        unseen = _ignored_cluster(request, ability)
        if not self._writes(made, request, settings):
            untold = _untold(page) if made.writes else []
            return Report(ability, settings.cluster_id, made, warnings=[*unseen, *untold])
        if page.listing:
            self._back_up(request, page.listing.rows, settings)
        elif request.backup:
            unseen.append(f"the server does not list services, so {request.backup} cannot say what was there before")
        verified = importer.carry_out(made, request.gateway, settings)
        self._finish(request)
        if not verified:
            unseen.append("the server accepted the import and does not list services, so it is not verified")
        return Report(ability, settings.cluster_id, made, verified=verified, warnings=unseen)

    def _writes(self, made: Plan, request: Import, settings: Settings) -> bool:
        """Whether anything is written; where nothing is left to, a run that was broken off is at its end by now.

        Raises:
            Refused: It is strict, and something is in conflict or unsupported; else that does not spoil the others.
        """
        if self.check:
            return False
        if settings.strict and (failures := made.failures(strict=True)):
            raise Refused(f"nothing was written: {'; '.join(failures)}", table=table(made).splitlines())
        if not made.writes:
            self._finish(request)
        return bool(made.writes)

    def _back_up(self, request: Import, rows: Sequence[Row], settings: Settings) -> None:
        """Write what is there now to a file, before the first write.

        After a run that did not come to its end the file stays: what that one found is what was there before.
        """
        if not request.backup:
            return
        if not self._is_unfinished(request.backup, settings):
            text = rollback.export(rows, settings, self.http.place)
            self.host.write_atomically(request.backup, text, BACKUP_MODE)
        self.host.write_atomically(_marker(request.backup), "", BACKUP_MODE)

    def _is_unfinished(self, backup: str, settings: Settings) -> bool:
        text = self.host.read(backup) if self.host.exists(_marker(backup)) else None
        try:
            kept = rollback.restored(text) if text else None
        except Invalid:
            return False
        mine = (self.http.place, settings.cluster_id, settings.collection)
        return kept is not None and (kept.server, kept.cluster_id, kept.collection) == mine

    def _finish(self, request: Import) -> None:
        if request.backup:
            self.host.remove(_marker(request.backup))


def _marker(backup: str) -> str:
    """Return the path of the file that is beside a backup while its run goes on."""
    return f"{backup}.unfinished"


def _ignored_cluster(request: Import, ability: Ability) -> list[str]:
    """Return that a named cluster is left out of the import, where it is: a field for it, if any, is for an id."""
    named = request.cluster_id is not None or request.cluster
    if not named or (ability.cluster_id and request.cluster_id is not None):
        return []
    return ["this import has no field for the cluster that is named; the key decides"]


def _untold(page: Page) -> list[str]:
    """Return what check mode cannot say of an import."""
    if page.listing:
        return []
    if page.refused:
        return [
            f"the server refuses cluster_key for its list ({page.refused}); only the import tells whether it takes it"
        ]
    return ["the server does not list its services, so only the import tells what it takes"]


def _unsupported(made: Plan) -> list[str]:
    return [f"{step.name}: {step.reason}" for step in made.steps if step.action == UNSUPPORTED]
