"""What is said before, or without, the application: the headers and the one form of errors that all answers share."""

from __future__ import annotations

import json
from http import HTTPStatus

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def refusal(status: int, code: str, message: str, **headers: str) -> bytes:
    """Return a whole HTTP answer, after which the connection closes."""
    body = json.dumps({"error": message, "code": code}).encode() + b"\n"
    fields = {
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **HEADERS,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
