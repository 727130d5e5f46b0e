"""The application: its parts put together, and the few routes that belong to none of them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify

from . import (
    __version__,
    audit,
    auth,
    config,
    credentials,
    errors,
    events,
    hosts,
    metrics,
    observe,
    openapi,
    packets,
    policies,
    policy_parts,
    shapes,
    users,
    workers,
)
from .api_tokens import ApiTokens
from .context import EXTENSION, Services, principal, services
from .copies import Copies
from .database import Database
from .identity import Identity
from .operations import Row, operation
from .passwords import Passwords
from .planes import Planes
from .proxies import ClientAddress
from .scopes import Access
from .sessions import Sessions
from .throttle import Throttle
from .watch import Watch

DOCUMENT = "openapi"

blueprint = Blueprint("api", __name__)


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the application; nothing is connected yet.

    Args:
        settings: The environment's, where none are given.
    """
    settings = settings or config.load()
    app = Flask("tripod_api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.BODY_BYTES
    # A name in a path that is a slash would be sent elsewhere, by a page in HTML.
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.wsgi_app = ClientAddress(  # type: ignore[method-assign]
        app.wsgi_app, settings.trusted_proxies, settings.front_secret
    )
    database = Database(settings.database)
    identity = Identity(settings.tls_directory) if settings.tls_directory else None
    circuits = metrics.Circuits(metrics.Place.slot, [one.name for one in settings.go_backends])
    planes = Planes(settings.go_backends, identity, circuits, config.THREADS)
    app.extensions[EXTENSION] = Services(
        settings=settings,
        database=database,
        watch=Watch(database),
        passwords=Passwords(settings.bcrypt_rounds),
        sessions=Sessions(database, settings),
        api_tokens=ApiTokens(database),
        throttle=Throttle(settings.jwt_secret),
        planes=planes,
        copies=Copies(database, planes),
        identity=identity,
    )
    errors.install(app)
    app.url_map.converters["row"] = Row
    for part in (
        blueprint,
        auth.blueprint,
        credentials.blueprint,
        audit.blueprint,
        users.blueprint,
        policies.blueprint,
        policy_parts.blueprint,
        packets.blueprint,
        events.blueprint,
        workers.blueprint,
        hosts.blueprint,
    ):
        app.register_blueprint(part)
    app.extensions[DOCUMENT] = openapi.text(app)
    observe.install(app, metrics.Place.slot, circuits, *([identity] if identity else []))
    return app


@operation(blueprint, "GET", "/healthz", Access.ANYONE, gives=shapes.Health)
def healthz() -> Response:
    """Tell that the process lives; the database is /readyz's business, as a restart would not mend it."""
    return jsonify(status="healthy")


@operation(blueprint, "GET", "/readyz", Access.ANYONE, gives=shapes.Health, refusals=(503,))
def readyz() -> Response:
    """Tell that requests can be served: the database answers, and its schema is this release's."""
    services().watch.check()
    return jsonify(status="ready")


@operation(blueprint, "GET", "/api/v1/openapi.json", Access.ANYONE, gives=dict[str, Any])
def describe() -> Response:
    """Return this document."""
    return Response(current_app.extensions[DOCUMENT], mimetype="application/json")


@operation(blueprint, "GET", "/api/v1/status", Access.ANYONE, gives=shapes.Release)
def status() -> Response:
    """Tell which release this is."""
    answer: dict[str, Any] = {"status": "ok", "version": __version__}
    if services().settings.build_epoch is not None:
        answer["build_epoch"] = services().settings.build_epoch
    return jsonify(answer)


@operation(blueprint, "GET", "/api/v1/hello", Access.SIGNED_IN, gives=shapes.Greeting)
def hello() -> Response:
    """Greet whoever is signed in."""
    user = principal().user
    return jsonify(message=f"Hello, {user.full_name}!", role=user.role)
