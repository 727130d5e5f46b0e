"""Workers and captures: their REST resources."""

from __future__ import annotations

import logging
from typing import Any

from flask import Blueprint, Response, jsonify, request

from . import audit
from . import host_shapes as shapes
from .afxdp import Capture
from .context import plane, principal, still_permitted
from .events import CHECK_SECONDS
from .operations import WORKER, operation
from .schemas import Move, NewCapture, OfWorker
from .scopes import Scope

logger = logging.getLogger(__name__)

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1")

PCAPNG = "application/x-pcapng"


@operation(blueprint, "GET", "/workers", Scope.DATAPLANE_READ, gives=shapes.WorkerList, refusals=WORKER, of_host=True)
def list_workers() -> Response:
    """Tell which workers there are, and on which queues and CPUs."""
    return jsonify(workers=plane().afxdp.workers())


@operation(
    blueprint,
    "GET",
    "/workers/stats",
    Scope.DATAPLANE_READ,
    window=OfWorker,
    gives=shapes.WorkerStats,
    refusals=WORKER,
    of_host=True,
)
def worker_stats(window: OfWorker) -> Response:
    """Tell what became of the packets of workers."""
    return jsonify(plane().afxdp.stats(window.worker))


@operation(
    blueprint,
    "GET",
    "/workers/backends",
    Scope.DATAPLANE_READ,
    window=OfWorker,
    gives=shapes.Backends,
    refusals=WORKER,
    of_host=True,
)
def worker_backends(window: OfWorker) -> Response:
    """Tell what workers that balance send flows to."""
    return jsonify(backends=plane().afxdp.backends(window.worker))


@operation(
    blueprint,
    "POST",
    "/workers/<name>/start",
    Scope.WORKERS_WRITE,
    gives=shapes.Worker,
    refusals=WORKER,
    writes="worker started",
    keyed=True,
    of_host=True,
)
def start_worker(name: str) -> Response:
    """Start a worker that was stopped; one that runs stays as it is."""
    with audit.asked(f"worker {name}", None, None) as outcome:
        made = plane().afxdp.start(name)
        outcome.update(made)
    return jsonify(made)


@operation(
    blueprint,
    "POST",
    "/workers/<name>/stop",
    Scope.WORKERS_WRITE,
    gives=shapes.Worker,
    refusals=WORKER,
    writes="worker stopped",
    keyed=True,
    of_host=True,
)
def stop_worker(name: str) -> Response:
    """Let a worker's packets go to the network stack, until it is started or go-backend is."""
    with audit.asked(f"worker {name}", None, None) as outcome:
        made = plane().afxdp.stop(name)
        outcome.update(made)
    return jsonify(made)


@operation(
    blueprint,
    "POST",
    "/workers/<name>/move",
    Scope.WORKERS_WRITE,
    takes=Move,
    gives=shapes.Worker,
    refusals=WORKER,
    writes="worker moved",
    keyed=True,
    of_host=True,
)
def move_worker(name: str, wanted: Move) -> Response:
    """Let a worker run on other CPUs, until go-backend is started anew."""
    with audit.asked(f"worker {name}", None, wanted.model_dump()) as outcome:
        made = plane().afxdp.move(name, wanted.cpus)
        outcome.update(made)
    return jsonify(made)


@operation(
    blueprint,
    "POST",
    "/workers/reload",
    Scope.WORKERS_WRITE,
    gives=shapes.WorkerList,
    refusals=WORKER,
    writes="workers reloaded",
    keyed=True,
    of_host=True,
)
def reload_workers() -> Response:
    """Have the file of workers read again; where it is wrong, nothing changes."""
    with audit.asked("workers", None, None) as outcome:
        made = plane().afxdp.reload()
        outcome.update(workers=[one["name"] for one in made])
    return jsonify(workers=made)


@operation(
    blueprint,
    "POST",
    "/capture",
    Scope.PACKETS_READ,
    takes=NewCapture,
    gives=bytes,
    media=PCAPNG,
    refusals=(*WORKER, 429),
    writes="packets captured",
    of_host=True,
)
def capture(wanted: NewCapture) -> Response:
    """Capture packets that come to a worker, as a pcapng file that is sent as they come."""
    # It changes nothing; who has seen packets is to be known all the same.
    audit.note(f"worker {wanted.worker}", None, wanted.model_dump())
    begun = plane().afxdp.capture(wanted)
    begun.watch(still_permitted(Scope.PACKETS_READ), CHECK_SECONDS)
    response = Response(iter(begun), mimetype=PCAPNG)
    response.headers["Content-Disposition"] = 'attachment; filename="capture.pcapng"'
    who: dict[str, Any] = {
        "account": principal().user.email,
        "user_id": principal().user.id,
        "client": request.remote_addr,
        "worker": wanted.worker,
    }
    response.call_on_close(lambda: _end(begun, who))
    return response


def _end(capture: Capture, who: dict[str, Any]) -> None:
    capture.close()
    logger.info("packets captured", extra={**who, **(capture.ended or {"ended": "cut off"})})
