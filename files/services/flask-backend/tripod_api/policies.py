"""Policies and bans of the host: their REST resources."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import audit
from . import policy_shapes as shapes
from .agent import revision_tag
from .context import plane, principal
from .errors import ApiError
from .operations import AGENT, operation
from .preconditions import names_a_state, require_match, tagged
from .proxies import CONNECTED
from .schemas import BanPage, Confirmation, Draft, NewBan, Return
from .scopes import Scope

logger = logging.getLogger(__name__)

blueprint = Blueprint("policies", __name__, url_prefix="/api/v1")


@operation(blueprint, "GET", "/policies", Scope.POLICY_READ, gives=shapes.Policies, refusals=AGENT, of_host=True)
def list_policies() -> Response:
    """Tell which policies there are, and which interfaces they judge."""
    return jsonify(plane().agent.policies())


@operation(
    blueprint,
    "GET",
    "/policies/<name>",
    Scope.POLICY_READ,
    gives=shapes.Policy,
    refusals=AGENT,
    etag=True,
    of_host=True,
)
def show_policy(name: str) -> Response:
    """Show a policy in force, and the part of it that belongs to this API."""
    found = plane().agent.policy(name)
    return tagged(found, found["etag"])


@operation(
    blueprint,
    "PUT",
    "/policies/<name>",
    Scope.POLICY_WRITE,
    takes=Draft,
    gives=shapes.PolicyChange,
    refusals=AGENT,
    writes="policy changed",
    etag=True,
    if_match=True,
    of_host=True,
)
def put_policy(name: str, wanted: Draft) -> Response:
    """Replace the part of a policy that belongs to this API."""
    was = plane().agent.policy(name)
    _require_same(was)
    if names_a_state() and wanted.expected is None:
        wanted = wanted.model_copy(update={"expected": was["revision"]})
    with audit.asked(f"policy {name}", was["own"], wanted.document) as outcome:
        with _same_until_now(name):
            made = plane().agent.put(name, wanted, caller())
        outcome.update(outcome_of(made))
    log("policy changed", policy=name, revision=made["revision"], changed=made["changed"], summary=made["summary"])
    return tagged(made, revision_tag(made["revision"]))


@operation(
    blueprint,
    "POST",
    "/policies/<name>/preview",
    Scope.POLICY_WRITE,
    takes=Draft,
    gives=shapes.PolicyChange,
    refusals=AGENT,
    of_host=True,
)
def preview_policy(name: str, wanted: Draft) -> Response:
    """Tell what would become of a policy, and change nothing."""
    return jsonify(plane().agent.put(name, wanted, caller(), dry_run=True))


@operation(
    blueprint,
    "POST",
    "/policies/<name>/confirm",
    Scope.POLICY_WRITE,
    takes=Confirmation,
    gives=shapes.PolicyConfirmation,
    refusals=(*AGENT, 421),
    writes="policy confirmed",
    keyed=True,
    of_host=True,
)
def confirm_policy(name: str, wanted: Confirmation) -> Response:
    """Keep a change that would be taken back otherwise, by somebody who got through since."""
    _require_new_connection(name, wanted.revision)
    with audit.asked(f"policy {name}", None, {"revision": wanted.revision}) as outcome:
        revision = plane().agent.confirm(name, wanted.revision, caller())
        outcome.update(revision=revision)
    log("policy confirmed", policy=name, revision=revision)
    return jsonify(revision=revision)


@operation(
    blueprint,
    "POST",
    "/policies/<name>/revert",
    Scope.POLICY_WRITE,
    takes=Return,
    gives=shapes.PolicyChange,
    refusals=AGENT,
    writes="policy reverted",
    etag=True,
    if_match=True,
    keyed=True,
    of_host=True,
)
def revert_policy(name: str, wanted: Return) -> Response:
    """Put this API's part of a policy back to what it was."""
    was = plane().agent.policy(name)
    _require_same(was)
    expected = was["revision"] if names_a_state() else None
    with audit.asked(f"policy {name}", was["own"], {"revision": wanted.revision}) as outcome:
        with _same_until_now(name):
            made = plane().agent.revert(name, wanted, caller(), expected)
        outcome.update(outcome_of(made))
    log("policy reverted", policy=name, to=wanted.revision, revision=made["revision"], changed=made["changed"])
    return tagged(made, revision_tag(made["revision"]))


@operation(
    blueprint,
    "GET",
    "/policies/<name>/history",
    Scope.POLICY_READ,
    gives=shapes.PolicyHistory,
    refusals=AGENT,
    of_host=True,
)
def policy_history(name: str) -> Response:
    """Tell who changed a policy, when, and how; the newest first."""
    return jsonify(revisions=plane().agent.history(name))


@operation(
    blueprint, "GET", "/bans", Scope.POLICY_READ, window=BanPage, gives=shapes.BanPage, refusals=AGENT, of_host=True
)
def list_bans(window: BanPage) -> Response:
    """Page through the bans in force, by address."""
    return jsonify(plane().agent.bans(window))


@operation(
    blueprint,
    "POST",
    "/bans",
    Scope.POLICY_WRITE,
    takes=NewBan,
    gives=shapes.Ban,
    status=201,
    refusals=AGENT,
    writes="address banned",
    keyed=True,
    of_host=True,
)
def ban(wanted: NewBan) -> tuple[Response, int]:
    """Drop everything from an address for a while."""
    with audit.asked(f"ban {wanted.address}", None, wanted.model_dump()) as outcome:
        made = plane().agent.ban(wanted, caller())
        outcome.update(made)
    log("address banned", address=made["address"], until=made["until"])
    return jsonify(made), 201


@operation(
    blueprint, "DELETE", "/bans/<address>", Scope.POLICY_WRITE, refusals=AGENT, writes="ban taken back", of_host=True
)
def unban(address: str) -> tuple[str, int]:
    """Take a ban back."""
    with audit.asked(f"ban {address}", {"address": address}, None):
        plane().agent.unban(address, caller())
    log("ban taken back", address=address)
    return "", 204


def _require_same(policy: dict[str, Any]) -> None:
    require_match(policy["etag"], f"Policy {policy['name']}, now at revision {policy['revision']},")


@contextmanager
def _same_until_now(name: str) -> Iterator[None]:
    """Where the agent finds that somebody else was faster, say it as to whoever comes a moment later."""
    try:
        yield
    except ApiError as error:
        if error.status == 409:
            _require_same(plane().agent.policy(name))
        raise


def _require_new_connection(name: str, revision: int) -> None:
    """Refuse what comes by a connection from before a change: such a one may go on where no new one can be made."""
    since = plane().agent.in_force_since(name, revision)
    if since is not None and request.environ[CONNECTED] <= since:
        raise ApiError(
            421,
            "old_connection",
            f"Revision {revision} came into force after this connection was made, which so does not prove that you can "
            "still get here: close it, and confirm over a new one.",
        )


def outcome_of(made: dict[str, Any]) -> dict[str, Any]:
    """Return what the trail has of a change."""
    return {key: made[key] for key in ("changed", "revision", "pending", "summary")}


def caller() -> str:
    """Return who asks, for the agent's history."""
    email: str = principal().user.email
    return email


def log(event: str, **what: Any) -> None:
    """Write a line about what somebody did."""
    user = principal().user
    logger.info(event, extra={"account": user.email, "user_id": user.id, "client": request.remote_addr, **what})
