"""What is said before, or without, the application: the headers and the one form of errors that all answers share."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from .requestid import HEADER

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PROBLEM = "application/problem+json"
# Names of RFC 9110 that Python has since 3.13; what is said, and the contract, are the same with every Python.
_NAMES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def phrase(status: int) -> str:
    """Return what a status is called."""
    return _NAMES.get(status) or HTTPStatus(status).phrase


def problem(status: int, code: str, detail: str, request_id: str) -> dict[str, Any]:
    """Return an error as RFC 9457 has it.

    Args:
        status: HTTP status.
        code: For programs, snake_case; it stays the same where the words for persons change.
        detail: For persons: what is wrong, and the way out.
        request_id: By which the log's lines are found.
    """
    return {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        # For pages that a browser had opened before the upgrade from release 1.0.0; the next release leaves it out.
        "error": detail,
    }


def refusal(status: int, code: str, detail: str, request_id: str, **headers: str) -> bytes:
    """Return a whole HTTP answer, after which the connection closes."""
    body = json.dumps(problem(status, code, detail, request_id)).encode() + b"\n"
    fields = {
        "Connection": "close",
        "Content-Type": PROBLEM,
        "Content-Length": str(len(body)),
        HEADER: request_id,
        **HEADERS,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
