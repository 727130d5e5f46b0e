"""What the API can be asked: each operation says what it needs, takes and gives, and is held to it.

The guard of a view, the check of its input, the OpenAPI document and the table of permissions all come from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from flask import Blueprint, Flask, g, request
from werkzeug.routing import IntegerConverter

from . import idempotency
from .context import authorize, services
from .schemas import Body, Query, body, query
from .scopes import Access, Need

View = Callable[..., Any]

# In the query of what is about a host of the data plane.
HOST = "host"

# More digits would not fit the database's numbers.
ROW_DIGITS = 18
LARGEST_ROW = 10**ROW_DIGITS - 1


class Row(IntegerConverter):
    """The number of a row in a path. One that is too long is no such path: of one beyond `max` Werkzeug says 405."""

    # Python takes other scripts' digits for digits, too.
    regex = rf"[0-9]{{1,{ROW_DIGITS}}}"


# What go-backend, and behind it the host's agent, may say to a question.
DATAPLANE = (503,)
TRACE = (404, 409, 422, 503)
AGENT = (404, 409, 422, 429, 500, 503)
WORKER = (404, 409, 422, 503)


@dataclass(frozen=True)
class Operation:
    """One method on one path.

    Attributes:
        name: The view's, unique.
        needs: A scope, or who may ask where there is none.
        status: Of what went well.
        gives: What is answered then: a model of tripod_api.shapes; None for an answer without a body.
        takes: The body.
        window: The query.
        refusals: Statuses of refusals that do not follow from the above.
        writes: What the audit trail calls it; None where it changes nothing that lasts.
        media: Of what went well.
        etag: Whether what went well has an ETag.
        if_match: Whether it honours If-Match; see tripod_api.preconditions.
        keyed: Whether it honours Idempotency-Key; see tripod_api.idempotency.
        of_host: Whether it is about a host of the data plane, which the query names; see tripod_api.planes.
        summary: What it does, a sentence.
    """

    name: str
    needs: Need
    status: int
    gives: Any
    takes: type[Body] | None
    window: type[Query] | None
    refusals: tuple[int, ...]
    writes: str | None
    media: str
    etag: bool
    if_match: bool
    keyed: bool
    of_host: bool
    summary: str

    @property
    def statuses(self) -> list[int]:
        """Every status it answers with, but those that the server gives before there is a request."""
        found = {self.status, *self.refusals}
        if self.needs is not Access.ANYONE:
            found |= {401, 503}
        if self.needs not in {Access.ANYONE, Access.SIGNED_IN}:
            found.add(403)
        if self.takes is not None:
            found |= {400, 413, 415, 422}
        if self.window is not None or self.of_host:
            found.add(422)
        if self.if_match:
            found.add(412)
        if self.keyed:
            found |= {409, 422, 429, 503}
        return sorted(found)


def operation(  # noqa: PLR0913  (each is a word of the contract)
    blueprint: Blueprint,
    method: str,
    path: str,
    needs: Need,
    *,
    gives: Any = None,
    status: int | None = None,
    takes: type[Body] | None = None,
    window: type[Query] | None = None,
    refusals: tuple[int, ...] = (),
    writes: str | None = None,
    media: str = "application/json",
    etag: bool = False,
    if_match: bool = False,
    keyed: bool = False,
    secret: bool = False,
    of_host: bool = False,
) -> Callable[[View], View]:
    """Make a view an operation: the caller is judged first, then the body and the query, which it is handed.

    Args:
        blueprint: Where it belongs.
        method: HTTP's.
        path: Below the blueprint's prefix, as Flask writes it.
        needs: As of an Operation, like all that follow.
        gives: Likewise; without, the status is 204.
        status: Likewise; 200 where nothing else is said.
        takes: Handed to the view as ``wanted``.
        window: Handed to the view as ``window``.
        refusals: Likewise.
        writes: Likewise; the view puts it on record, see tripod_api.audit.
        media: Likewise.
        etag: Likewise; the view sets it.
        if_match: Likewise; the view sees to it.
        keyed: Likewise.
        secret: Of what is keyed: the answer has what is nowhere kept.
        of_host: As of an Operation; the view asks for it by `plane`.
    """

    def decorate(view: View) -> View:
        told = Operation(
            name=view.__name__,
            needs=needs,
            status=status or (204 if gives is None else 200),
            gives=gives,
            takes=takes,
            window=window,
            refusals=refusals,
            writes=writes,
            media=media,
            etag=etag,
            if_match=if_match,
            keyed=keyed,
            of_host=of_host,
            summary=(view.__doc__ or "").split("\n\n")[0].strip(),
        )

        @wraps(view)
        def guarded(**arguments: Any) -> Any:
            g.operation = told
            authorize(told.needs)
            if told.of_host:
                g.plane = services().planes.named(request.args.getlist(HOST))
            if takes is not None:
                arguments["wanted"] = body(takes)
            if window is not None:
                arguments["window"] = query(window)
            return idempotency.once(partial(view, **arguments), secret) if keyed else view(**arguments)

        guarded.operation = told  # type: ignore[attr-defined]
        blueprint.add_url_rule(path, view_func=guarded, methods=[method])
        return guarded

    return decorate


def operations(app: Flask) -> list[tuple[str, str, Operation | None]]:
    """Return each route's path, method and operation, in the order of the paths; None where it has none."""
    found = []
    for rule in app.url_map.iter_rules():
        told = getattr(app.view_functions[rule.endpoint], "operation", None)
        found += [(rule.rule, method, told) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return sorted(found, key=lambda one: one[:2])
