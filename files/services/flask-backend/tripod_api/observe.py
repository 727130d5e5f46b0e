"""One log line and one observation a request, and /metrics over all workers."""

from __future__ import annotations

import logging
import time

from flask import Flask, Request, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from . import logs, requestid
from .answers import HEADERS
from .metrics import Requests

# What is asked again and again without anybody doing anything.
QUIET = {"/healthz", "/readyz", "/metrics", "/api/v1/events/readers"}


def install(app: Flask, slot: int | None, *collectors: Collector) -> None:
    """Watch every request of the application, which has all its routes by now.

    Args:
        app: The application.
        slot: Where this worker counts; None where it has no others beside it.
        collectors: What else there is to tell.
    """
    routes = sorted({rule.rule for rule in app.url_map.iter_rules()})
    requests = Requests([*routes, "/metrics", "none"], slot)
    registry = CollectorRegistry(auto_describe=False)
    for collector in (requests, *collectors):
        registry.register(collector)

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        requestid.adopt(request.headers.get(requestid.HEADER, ""))

    @app.after_request
    def finish(response: Response) -> Response:
        # Each look through Flask's stand-ins for them costs more than what is looked for.
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]
        held = g._get_current_object()
        request_id = requestid.current()
        response.headers.update(HEADERS)
        response.headers[requestid.HEADER] = request_id
        seconds = time.perf_counter() - held.began
        # Labels come from the routes, never from the caller, or a scanner would fill the memory with series.
        route = asked.url_rule.rule if asked.url_rule else "none"
        requests.observe(asked.method, route, response.status_code, seconds)
        principal = held.get("principal")
        logs.of_request(
            logging.DEBUG if asked.path in QUIET else logging.INFO,
            {
                "request_id": request_id,
                "client": asked.remote_addr,
                "method": asked.method,
                "path": asked.path,
                "status": response.status_code,
                "duration_ms": round(seconds * 1000, 1),
                "user_id": principal.user.id if principal else None,
            },
        )
        return response

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        requestid.leave()

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
