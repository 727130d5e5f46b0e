"""Every failure leaves as `application/problem+json` (RFC 9457), whoever raised it."""

from __future__ import annotations

import logging
import re
from typing import Any

from flask import Flask, Response, jsonify
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from . import requestid
from .answers import PROBLEM, problem
from .database import Conflict, DatabaseUnavailable
from .migrations import SchemaMismatch

logger = logging.getLogger(__name__)


class ApiError(Exception):
    """A refusal meant for the caller.

    Attributes:
        status: HTTP status.
        code: For programs, snake_case.
        message: For persons, one sentence.
        headers: Sent along, e.g. Retry-After.
    """

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def reply(status: int, code: str, message: str) -> Response:
    """Return the one error shape there is."""
    response = jsonify(problem(status, code, message, requestid.current() or requestid.adopt("")))
    response.status_code = status
    response.mimetype = PROBLEM
    return response


def install(app: Flask) -> None:
    """Make the application answer every exception in the one form."""

    @app.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        response = reply(error.status, error.code, error.message)
        response.headers.update(error.headers)
        return response

    @app.errorhandler(ValidationError)
    def invalid(error: ValidationError) -> Response:
        if any(fault["type"] == "json_invalid" for fault in error.errors()):
            return reply(400, "malformed_json", "The body is not valid JSON.")
        return reply(422, "invalid_input", explain(error))

    @app.errorhandler(DatabaseUnavailable)
    def database_away(error: DatabaseUnavailable) -> Response:
        logger.error("database unavailable", extra={"reason": str(error)})
        return reply(503, "database_unavailable", "The database does not answer; try again shortly.")

    @app.errorhandler(SchemaMismatch)
    def schema_away(error: SchemaMismatch) -> Response:
        logger.error("schema of another release", extra={"reason": str(error)})
        return reply(503, "schema_mismatch", str(error))

    @app.errorhandler(Conflict)
    def conflict(_error: Conflict) -> Response:
        return reply(409, "conflict", "Another change got there first; read the current state and try again.")

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error
        code = re.sub(r"[^a-z]+", "_", error.name.lower())
        response = reply(error.code, code, error.description or error.name)
        response.headers.update(
            {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After", "WWW-Authenticate"}}
        )
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        logger.error("unhandled exception", exc_info=error)
        return reply(500, "internal_error", "The request failed inside the service; its log has the details.")


def explain(error: ValidationError) -> str:
    """Return what is wrong, and where; never the values given, as one may be a password."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    )
