"""Policies and bans of the host: their REST resources."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request

from .context import principal, services, signed_in
from .schemas import BanPage, Confirmation, Draft, NewBan, Return, body, query

logger = logging.getLogger(__name__)

blueprint = Blueprint("policies", __name__, url_prefix="/api/v1")


@blueprint.get("/policies")
@signed_in()
def list_policies() -> Response:
    """Tell which policies there are, and which interfaces they judge."""
    return jsonify(services().agent.policies())


@blueprint.get("/policies/<name>")
@signed_in()
def show_policy(name: str) -> Response:
    """Show a policy in force, and the part of it that belongs to this API."""
    return jsonify(services().agent.policy(name))


@blueprint.put("/policies/<name>")
@signed_in("maintainer", "admin")
def put_policy(name: str) -> Response:
    """Replace the part of a policy that belongs to this API."""
    made = services().agent.put(name, body(Draft), _by())
    _log("policy changed", policy=name, revision=made["revision"], changed=made["changed"], summary=made["summary"])
    return jsonify(made)


@blueprint.post("/policies/<name>/preview")
@signed_in("maintainer", "admin")
def preview_policy(name: str) -> Response:
    """Tell what would become of a policy, and change nothing."""
    return jsonify(services().agent.put(name, body(Draft), _by(), dry_run=True))


@blueprint.post("/policies/<name>/confirm")
@signed_in("maintainer", "admin")
def confirm_policy(name: str) -> Response:
    """Keep a change that would be taken back otherwise."""
    revision = services().agent.confirm(name, body(Confirmation).revision, _by())
    _log("policy confirmed", policy=name, revision=revision)
    return jsonify(revision=revision)


@blueprint.post("/policies/<name>/revert")
@signed_in("maintainer", "admin")
def revert_policy(name: str) -> Response:
    """Put this API's part of a policy back to what it was."""
    wanted = body(Return)
    made = services().agent.revert(name, wanted, _by())
    _log("policy reverted", policy=name, to=wanted.revision, revision=made["revision"], changed=made["changed"])
    return jsonify(made)


@blueprint.get("/policies/<name>/history")
@signed_in()
def policy_history(name: str) -> Response:
    """Tell who changed a policy, when, and how; the newest first."""
    return jsonify(revisions=services().agent.history(name))


@blueprint.get("/bans")
@signed_in()
def list_bans() -> Response:
    """Page through the bans in force, by address."""
    return jsonify(services().agent.bans(query(BanPage)))


@blueprint.post("/bans")
@signed_in("maintainer", "admin")
def ban() -> tuple[Response, int]:
    """Drop everything from an address for a while."""
    made = services().agent.ban(body(NewBan), _by())
    _log("address banned", address=made["address"], until=made["until"])
    return jsonify(made), 201


@blueprint.delete("/bans/<address>")
@signed_in("maintainer", "admin")
def unban(address: str) -> tuple[str, int]:
    """Take a ban back."""
    services().agent.unban(address, _by())
    _log("ban taken back", address=address)
    return "", 204


def _by() -> str:
    email: str = principal().user.email
    return email


def _log(event: str, **what: Any) -> None:
    user = principal().user
    logger.info(event, extra={"account": user.email, "user_id": user.id, "client": request.remote_addr, **what})
