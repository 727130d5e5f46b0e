"""One log line and one observation a request, and /metrics over all workers."""

from __future__ import annotations

import logging
import re
import time
import uuid

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from .answers import HEADERS
from .metrics import Requests

logger = logging.getLogger("tripod_api.request")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = {"/healthz", "/readyz", "/metrics"}


def install(app: Flask, slot: int | None = None) -> None:
    """Watch every request of the application, which has all its routes by now.

    Args:
        app: The application.
        slot: Where this worker counts; None where it has no others beside it.
    """
    routes = sorted({rule.rule for rule in app.url_map.iter_rules()})
    requests = Requests([*routes, "/metrics", "none"], slot)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(requests)

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers["X-Request-ID"] = g.request_id
        seconds = time.perf_counter() - g.began
        # Labels come from the routes, never from the caller, or a scanner would fill the memory with series.
        route = request.url_rule.rule if request.url_rule else "none"
        requests.observe(request.method, route, response.status_code, seconds)
        principal = g.get("principal")
        logger.log(
            logging.DEBUG if request.path in QUIET else logging.INFO,
            "request",
            extra={
                "request_id": g.request_id,
                "client": request.remote_addr,
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "duration_ms": round(seconds * 1000, 1),
                "user_id": principal.user.id if principal else None,
            },
        )
        return response

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
