# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a server can do, and which of its clusters is meant; nothing here changes anything on it.

The documented import is missing on the real server, which says so by 405 before it looks at who asks. No other refusal
says so: it is a fault of ours, such as a wrong key, and must not turn into single requests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._core.converge import Impossible, Refused
from .http import Http, Reply
from .session import API, Failed, Session, listed

BULK, CRUD = "bulk", "crud"
MODES = ("auto", BULK, CRUD)
IMPORT_PATH = "/services/import"
_ITEM = re.compile(rf"{API}/services/\{{[^/]+\}}")
_SCHEMA = re.compile(r"#/components/schemas/([\w.-]+)")
_LIMIT = 1000  # entries of a page, at most


@dataclass(frozen=True)
class Ability:
    """How services get to a server.

    Attributes:
        mode: BULK or CRUD.
        update: Method that changes a service, PATCH or PUT.
        mappings: Whether it takes mappings.
        cluster_id: Whether its import has a field for the cluster.
    """

    mode: str
    update: str = "PATCH"
    mappings: bool = False
    cluster_id: bool = False


def detect(http: Http, session: Session, mode: str = "auto") -> Ability:
    """Return how services get to a server, by what it says of itself, else by what it answers.

    Raises:
        Failed: It is out of order, or redirects.
        Unanswered: No answer came in time.
    """
    said = http.send("GET", "/api/openapi.json")
    if said.status >= 500 and said.status != 501:  # 501: it has no GET at all, so it describes nothing
        raise Failed("GET /api/openapi.json", session, said)
    paths = said.body.get("paths") if said.status == 200 and isinstance(said.body, Mapping) else None
    found = _described(said.body, paths) if isinstance(paths, Mapping) else {}
    if mode != "auto":
        return found.get(mode) or Ability(mode, mappings=mode == BULK)
    if found:
        return found.get(BULK) or found[CRUD]
    return _by_its_answers(http, session)


def _by_its_answers(http: Http, session: Session) -> Ability:
    """Return how services get to a server that does not say it; whether a key is good, the import says."""
    who, bulk = session.credentials, Ability(BULK, mappings=True)
    if who.cluster_key:
        if not (who.token or who.can_log_in):
            return bulk  # single requests are a user's
        # The real server lists nothing to the holder of a cluster's key.
        answer = session.ask_with_key("GET", "/services?limit=1")
        if answer.status == 200 and answer.body is not None:
            return bulk
    # An object, as it may be parsed before anything else, and nobody's, so that nothing should come of it.
    reply = http.send("POST", API + IMPORT_PATH, {})
    if has_no_import(reply):
        return Ability(CRUD)
    if 300 <= reply.status < 400 or (reply.status >= 500 and not who.cluster_key):
        raise Failed(f"POST {API}{IMPORT_PATH}", session, reply)
    return bulk


def has_no_import(reply: Reply) -> bool:
    """Return whether that is how a server without the import answers one."""
    return reply.status in (404, 501) or (reply.status == 405 and "POST" not in reply.allow)


def _described(document: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Ability]:
    """Return what an OpenAPI document offers, by mode."""
    found = {}
    if "post" in (paths.get(API + IMPORT_PATH) or ()):
        cluster_id = '"cluster_id"' in _with_schemas(document, paths[API + IMPORT_PATH])
        found[BULK] = Ability(BULK, mappings=True, cluster_id=cluster_id)
    for path, methods in paths.items():
        if _ITEM.fullmatch(path) and not {"patch", "put"}.isdisjoint(methods):
            found[CRUD] = Ability(CRUD, "PATCH" if "patch" in methods else "PUT")
    return found


def _with_schemas(document: Mapping[str, Any], methods: Any) -> str:
    """Return an operation's JSON with that of the schemas that it refers to."""
    text = json.dumps(methods)
    components = document.get("components")
    schemas = components.get("schemas") if isinstance(components, Mapping) else None
    named = [schemas.get(name) for name in _SCHEMA.findall(text)] if isinstance(schemas, Mapping) else []
    return text + json.dumps(named)


def chosen_cluster(session: Session, cluster_id: int | None = None, name: str | None = None) -> int:
    """Return the id of the cluster that is meant: the one named, or the only active one that the user sees.

    Raises:
        Impossible: There is none such, or it is inactive: the server would take services for it all the same.
        Refused: Several are there and none is named, or the cluster's key is another cluster's.
    """
    clusters = listed(session, f"/clusters?active_only=false&limit={_LIMIT}", "clusters")
    seen = [(entry.get("id"), str(entry.get("name")), entry.get("is_active") is not False) for entry in clusters]
    shown = ", ".join(f"{number} ({title}{'' if active else ', inactive'})" for number, title, active in seen) or "none"
    if cluster_id is not None or name:
        meant = [one for one in seen if (cluster_id in (None, one[0])) and name in (None, "", one[1])]
        wish = " and ".join(str(word) for word in (cluster_id, name) if word not in (None, ""))
        if not meant:
            raise Impossible(
                f"cluster {wish} is none that this user sees: {shown}; an administrator assigns clusters to users"
            )
        if not any(active for _number, _title, active in meant):
            raise Impossible(
                f"cluster {wish} is inactive, so nothing would come of its services; the user sees: {shown}"
            )
    else:
        meant = seen
    active_ids = [number for number, _title, active in meant if active]
    if len(active_ids) != 1 or not isinstance(active_ids[0], int):
        raise Refused(
            f"{len(active_ids)} active clusters could be meant: name one by cluster_id; this user sees: {shown}"
        )
    _check_key(session, active_ids[0])
    return active_ids[0]


def _check_key(session: Session, cluster_id: int) -> None:
    """Raise where a key is given that is not that cluster's."""
    if not session.credentials.cluster_key:
        return
    reply = session.ask_as_proxy(f"/config/version/{cluster_id}")
    if reply.status == 403:
        raise Refused(f"cluster_key is the key of another cluster than {cluster_id}: {session.http.reason(reply)}")
    if reply.status != 200:
        raise Failed(f"cluster_key, GET {API}/config/version/{cluster_id}", session, reply)
