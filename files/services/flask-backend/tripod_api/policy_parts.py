"""Lists, rules, limits and services of policies, one by one: what each says and has met, and the API's own to change.

A change is one of the API's part of the policy, made for the revision that was read, so that nobody else's is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from flask import Blueprint, Response, jsonify

from . import audit
from . import policy_shapes as shapes
from .config import BODY_BYTES
from .context import plane
from .errors import ApiError
from .operations import AGENT, operation
from .policies import caller, log, outcome_of
from .preconditions import require_match, tag, tagged
from .schemas import Draft, OfPolicy, PartDraft, PartRemoval
from .scopes import Scope

blueprint = Blueprint("policy_parts", __name__, url_prefix="/api/v1")

OWNER = "api"
COUNTED = ("packets", "bytes", "observed_packets", "observed_bytes")
# Kinds of parts, what one is called, and which of its keys names it.
KINDS = {
    "lists": ("list", "name"),
    "rules": ("rule", "id"),
    "limits": ("limit", "name"),
    "services": ("service", "name"),
}


def _declare(kind: str) -> None:
    """Make the operations of one kind of parts."""
    word, key = KINDS[kind]
    one = f"/{kind}/<policy>/<part>"

    def named(name: str, sentence: str) -> Callable[[Any], Any]:
        def name_it(view: Any) -> Any:
            view.__name__ = name
            view.__doc__ = sentence
            return view

        return name_it

    @operation(
        blueprint,
        "GET",
        f"/{kind}",
        Scope.POLICY_READ,
        window=OfPolicy,
        gives=shapes.PolicyParts,
        refusals=AGENT,
        of_host=True,
    )
    @named(f"list_{kind}", f"Show the {kind} of all policies, or of one, and what each has met.")
    def show_all(window: OfPolicy) -> Response:
        return jsonify(parts=list(_parts(kind, window.policy)))

    @operation(
        blueprint, "GET", one, Scope.POLICY_READ, gives=shapes.PolicyPart, refusals=AGENT, etag=True, of_host=True
    )
    @named(f"show_{word}", f"Show one of the {kind} of a policy, and what it has met.")
    def show(policy: str, part: str) -> Response:
        found = next((each for each in _parts(kind, policy) if each["id"] == part), None)
        if found is None:
            raise _missing(policy, word, part)
        return tagged(found, found["etag"])

    @operation(
        blueprint,
        "PUT",
        one,
        Scope.POLICY_WRITE,
        takes=PartDraft,
        gives=shapes.PolicyChange,
        refusals=AGENT,
        writes=f"{word} changed",
        if_match=True,
        of_host=True,
    )
    @named(f"put_{word}", f"Make one of the API's {kind} of a policy, or replace it; a new one comes last.")
    def put(policy: str, part: str, wanted: PartDraft) -> Response:
        if wanted.part.get(key, part) != part:
            raise ApiError(
                422, "invalid_input", f"part.{key}: it is {part!r} in the address; leave it out, or say the same."
            )
        made = {key: part, **wanted.part}
        return _change(kind, policy, part, made, Draft(document={}, **wanted.model_dump(exclude={"part"})))

    @operation(
        blueprint,
        "DELETE",
        one,
        Scope.POLICY_WRITE,
        window=PartRemoval,
        gives=shapes.PolicyChange,
        refusals=AGENT,
        writes=f"{word} removed",
        if_match=True,
        of_host=True,
    )
    @named(f"remove_{word}", f"Take one of the API's {kind} of a policy away.")
    def remove(policy: str, part: str, window: PartRemoval) -> Response:
        return _change(kind, policy, part, None, Draft(document={}, **window.model_dump()))


def _change(kind: str, policy: str, part: str, made: dict[str, Any] | None, draft: Draft) -> Response:
    word, key = KINDS[kind]
    was = plane().agent.policy(policy)
    own = was["own"].get(kind, [])
    at = next((number for number, each in enumerate(own) if each.get(key) == part), None)
    if made is None and at is None:
        raise _missing(policy, f"{word} of the API's", part)
    before = None if at is None else own[at]
    require_match(None if before is None else tag(before), f"The {word} {part} of policy {policy}")
    rest = own if at is None else [*own[:at], *own[at + 1 :]]
    place = len(own) if at is None else at
    parts = rest if made is None else [*rest[:place], made, *rest[place:]]
    document = {**was["own"], kind: parts}
    if not parts:
        del document[kind]
    if (size := len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())) > BODY_BYTES:
        raise ApiError(
            422,
            "too_large",
            f"The API's part of policy {policy} would take {size} bytes, and {BODY_BYTES} are the limit: "
            "shorten a list, or let a feed have it.",
        )
    draft = draft.model_copy(update={"document": document, "expected": was["revision"]})
    with audit.asked(f"{word} {part} of policy {policy}", before, made) as outcome:
        change = plane().agent.put(policy, draft, caller())
        outcome.update(outcome_of(change))
    log(f"{word} changed", policy=policy, part=part, revision=change["revision"], changed=change["changed"])
    return jsonify(change)


def _parts(kind: str, policy: str) -> Iterator[dict[str, Any]]:
    """Yield the parts of a policy, or of all, in the order in which they are asked, with what each has met."""
    word, key = KINDS[kind]
    agent = plane().agent
    names = [policy] if policy else [one["name"] for one in agent.policies()["policies"]]
    found = [agent.policy(name) for name in names]
    counted = plane().dataplane.parts()["interfaces"] if any(each["document"].get(kind) for each in found) else []
    for each in found:
        own = {part.get(key): part for part in each["own"].get(kind, [])}
        for part in each["document"].get(kind, []):
            name = part.get(key, "")
            mine = own.get(name) if part.get("owner") == OWNER else None
            yield {
                "policy": each["name"],
                "id": name,
                "owner": part.get("owner", ""),
                # Of a long list the merged policy has the first entries only.
                "part": part if mine is None else mine,
                "etag": tag(part if mine is None else mine),
                **_met(counted, each["interfaces"], word, name),
            }


def _met(counted: list[dict[str, Any]], interfaces: list[str], word: str, name: str) -> dict[str, Any]:
    """Return what a part has met on the interfaces of its policy together."""
    found = [
        part
        for interface in counted
        if interface["name"] in interfaces
        for part in interface["parts"]
        if (part["part"], part["id"]) == (word, name)
    ]
    last = max((part["last"] for part in found if part["last"]), default=None)
    return {**{key: sum(part[key] for part in found) for key in COUNTED}, "last": last}


def _missing(policy: str, word: str, part: str) -> ApiError:
    return ApiError(404, "part_not_found", f"Policy {policy} has no {word} {part}.")


for _kind in KINDS:
    _declare(_kind)
