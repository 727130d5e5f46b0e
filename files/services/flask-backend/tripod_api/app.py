"""The application: its parts put together, and the few routes that belong to none of them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, jsonify

from . import __version__, auth, config, errors, metrics, observe, users
from .context import EXTENSION, Services, principal, services, signed_in
from .database import Database
from .dataplane import Dataplane
from .history import History
from .passwords import Passwords
from .proxies import ClientAddress
from .schemas import Trace, body
from .sessions import Sessions
from .throttle import Throttle

blueprint = Blueprint("api", __name__)


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the application; nothing is connected yet.

    Args:
        settings: The environment's, where none are given.
    """
    settings = settings or config.load()
    app = Flask("tripod_api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = config.BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.wsgi_app = ClientAddress(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    database = Database(settings.database)
    dataplane = Dataplane(settings.go_backend_target)
    app.extensions[EXTENSION] = Services(
        settings=settings,
        database=database,
        passwords=Passwords(settings.bcrypt_rounds),
        sessions=Sessions(database, settings),
        throttle=Throttle(settings.jwt_secret),
        dataplane=dataplane,
        history=History(dataplane),
    )
    errors.install(app)
    for part in (blueprint, auth.blueprint, users.blueprint):
        app.register_blueprint(part)
    observe.install(app, metrics.Place.slot)
    return app


@blueprint.get("/healthz")
def healthz() -> Response:
    """Tell that the process lives; the database is /readyz's business, as a restart would not mend it."""
    return jsonify(status="healthy")


@blueprint.get("/readyz")
def readyz() -> Response:
    """Tell that requests can be served: the database answers."""
    services().database.ping()
    return jsonify(status="ready")


@blueprint.get("/api/v1/status")
def status() -> Response:
    """Tell which release this is."""
    answer: dict[str, Any] = {"status": "ok", "version": __version__}
    if services().settings.build_epoch is not None:
        answer["build_epoch"] = services().settings.build_epoch
    return jsonify(answer)


@blueprint.get("/api/v1/hello")
@signed_in()
def hello() -> Response:
    """Greet whoever is signed in."""
    user = principal().user
    return jsonify(message=f"Hello, {user.full_name}!", role=user.role)


@blueprint.get("/api/v1/dataplane/status")
@signed_in()
def dataplane_status() -> Response:
    """Tell whether go-backend serves, and what is attached where."""
    return jsonify(services().dataplane.status())


@blueprint.get("/api/v1/dataplane/stats")
@signed_in()
def dataplane_stats() -> Response:
    """Return packet counters."""
    return jsonify(services().dataplane.stats())


@blueprint.get("/api/v1/dataplane/history")
@signed_in()
def dataplane_history() -> Response:
    """Return the counters of the last minutes."""
    return jsonify(readings=services().history.readings())


@blueprint.post("/api/v1/dataplane/trace")
@signed_in("maintainer", "admin")
def dataplane_trace() -> Response:
    """Tell what the program on an interface would do with a frame."""
    wanted = body(Trace)
    return jsonify(services().dataplane.trace(wanted.interface, bytes.fromhex(wanted.frame)))
