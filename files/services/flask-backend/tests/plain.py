"""A plain Flask hello, and gunicorn's settings for it: the service's own, with gunicorn's own worker of threads.

What `bench_api` compares with.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify

from tripod_api.gunicorn_conf import *  # noqa: F403

wsgi_app = "plain:app"
worker_class = "gthread"
app = Flask("plain")


@app.get("/")
def hello() -> Response:
    return jsonify(message="Hello!")


def post_worker_init(worker: Any) -> None:
    """Start nothing beside the requests, where the service has its watch and its history."""
