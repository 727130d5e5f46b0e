"""ETag and If-Match: two who edit the same do not undo each other's changes without a word.

A tag names what can be edited, not the bytes of an answer, some of which change with the clock. Answers hold it as
`etag` too, as a list has many of them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from flask import Response, jsonify, request

from .errors import ApiError

HEADER = "If-Match"


def tag(*held: Any) -> str:
    """Return the tag of what can be edited, as it is written in headers, whatever it is of JSON's kinds."""
    return quoted(hashlib.sha256(json.dumps(held).encode()).hexdigest()[:32])


def quoted(text: str) -> str:
    """Return a tag of letters and digits as it is written in headers."""
    return f'"{text}"'


def tagged(answer: dict[str, Any], etag: str) -> Response:
    """Return an answer whose header names what can be edited of it."""
    response = jsonify(answer)
    response.headers["ETag"] = etag
    return response


def names_a_state() -> bool:
    """Tell whether the request is for certain states only; `*` is for any that there is."""
    return HEADER in request.headers and not request.if_match.star_tag


def require_match(etag: str | None, what: str) -> None:
    """Refuse a change that was made for another state than the present one; without If-Match it is for any.

    Args:
        etag: Of the present state; None where there is nothing.
        what: Whose it is, for the message.

    Raises:
        ApiError: 412, with the present tag.
    """
    if HEADER not in request.headers:
        return
    if etag is None:
        raise ApiError(412, "changed_meanwhile", f"{what} is not there, and {HEADER} is for what is.", ETag='""')
    if not request.if_match.contains(etag.strip('"')):
        raise ApiError(
            412,
            "changed_meanwhile",
            f"{what} is not any more what it was when you read it, and nothing was changed. Read it again, and send "
            f"what you still want of your change with {HEADER}: {etag}.",
            ETag=etag,
        )
