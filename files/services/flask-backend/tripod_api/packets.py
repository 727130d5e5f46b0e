"""What becomes of packets: the data plane's REST resources."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from . import shapes
from .context import plane
from .operations import DATAPLANE, TRACE, operation
from .schemas import Steps, Trace
from .scopes import Scope

blueprint = Blueprint("packets", __name__, url_prefix="/api/v1/dataplane")


@operation(blueprint, "GET", "/status", Scope.DATAPLANE_READ, gives=shapes.DataplaneStatus, of_host=True)
def dataplane_status() -> Response:
    """Tell whether go-backend serves, and what is attached where."""
    return jsonify(plane().dataplane.status())


@operation(
    blueprint, "GET", "/stats", Scope.DATAPLANE_READ, gives=shapes.DataplaneStats, refusals=DATAPLANE, of_host=True
)
def dataplane_stats() -> Response:
    """Return packet counters."""
    return jsonify(plane().dataplane.stats())


@operation(
    blueprint, "GET", "/parts", Scope.DATAPLANE_READ, gives=shapes.DataplaneParts, refusals=DATAPLANE, of_host=True
)
def dataplane_parts() -> Response:
    """Return what each list, rule, limit and service has met."""
    return jsonify(plane().dataplane.parts())


@operation(
    blueprint,
    "GET",
    "/history",
    Scope.DATAPLANE_READ,
    window=Steps,
    gives=shapes.DataplaneHistory,
    refusals=DATAPLANE,
    of_host=True,
)
def dataplane_history(window: Steps) -> Response:
    """Return what was counted in the last hour by seconds, in a day by 10 s, or in 31 days by 5 minutes."""
    return jsonify(plane().dataplane.rates(window.resolution, window.steps))


@operation(
    blueprint,
    "POST",
    "/trace",
    Scope.DATAPLANE_TRACE,
    takes=Trace,
    gives=shapes.TraceResult,
    refusals=TRACE,
    of_host=True,
)
def dataplane_trace(wanted: Trace) -> Response:
    """Tell what the program on an interface would do with a frame."""
    return jsonify(plane().dataplane.trace(wanted.interface, bytes.fromhex(wanted.frame)))
