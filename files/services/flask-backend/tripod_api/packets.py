"""What becomes of packets: the data plane's REST resources."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from . import shapes
from .context import services
from .operations import DATAPLANE, TRACE, operation
from .schemas import Trace
from .scopes import Scope

blueprint = Blueprint("packets", __name__, url_prefix="/api/v1/dataplane")


@operation(blueprint, "GET", "/status", Scope.DATAPLANE_READ, gives=shapes.DataplaneStatus)
def dataplane_status() -> Response:
    """Tell whether go-backend serves, and what is attached where."""
    return jsonify(services().dataplane.status())


@operation(blueprint, "GET", "/stats", Scope.DATAPLANE_READ, gives=shapes.DataplaneStats, refusals=DATAPLANE)
def dataplane_stats() -> Response:
    """Return packet counters."""
    return jsonify(services().dataplane.stats())


@operation(blueprint, "GET", "/parts", Scope.DATAPLANE_READ, gives=shapes.DataplaneParts, refusals=DATAPLANE)
def dataplane_parts() -> Response:
    """Return what each list, rule, limit and service has met."""
    return jsonify(services().dataplane.parts())


@operation(blueprint, "GET", "/history", Scope.DATAPLANE_READ, gives=shapes.DataplaneHistory)
def dataplane_history() -> Response:
    """Return the counters of the last minutes."""
    return jsonify(readings=services().history.readings())


@operation(blueprint, "POST", "/trace", Scope.DATAPLANE_TRACE, takes=Trace, gives=shapes.TraceResult, refusals=TRACE)
def dataplane_trace(wanted: Trace) -> Response:
    """Tell what the program on an interface would do with a frame."""
    return jsonify(services().dataplane.trace(wanted.interface, bytes.fromhex(wanted.frame)))
