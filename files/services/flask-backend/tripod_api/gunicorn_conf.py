"""gunicorn's settings; `python -m tripod_api` starts it with this file."""

from __future__ import annotations

import sys as _sys
from typing import Any

# Every public name here is taken for a setting.
from tripod_api import callbacks as _callbacks
from tripod_api import metrics as _metrics
from tripod_api import passwords as _passwords  # noqa: F401  (its lanes are shared by the workers)
from tripod_api import standing as _standing  # noqa: F401  (so is its number)
from tripod_api import worker as _worker
from tripod_api.config import THREADS as _THREADS
from tripod_api.config import load as _load
from tripod_api.context import EXTENSION as _EXTENSION
from tripod_api.logs import configuration as _configuration
from tripod_api.logs import output as _output

# After so long (s) a thread that waits for the interpreter gets it. Python's own 5 ms are what a sign-in, of which
# little waits, would cost who asks beside it. The workers have it of the process from which they are forked.
_sys.setswitchinterval(0.001)

_settings = _load()

wsgi_app = "tripod_api.app:create_app()"
bind = [f"0.0.0.0:{_settings.http_port}"]
worker_class = "tripod_api.worker.Worker"
workers = _worker.WORKERS
threads = _THREADS
worker_connections = _worker.CONNECTIONS
# Each worker touches a file there now and then; on a disk that stalls, the touch would stall the worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108
timeout = 30
graceful_timeout = 20
keepalive = 5
# A file would go past the worker's way of sending.
sendfile = False
# Whom to believe in what it forwards decides `proxies`, which knows the front.
forwarded_allow_ips = ""
control_socket_disable = True
logconfig_dict = _configuration(_settings.log_level)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the first slot that no other one counts in."""
    taken = {getattr(other, "slot", None) for other in server.WORKERS.values()}
    worker.slot = next((slot for slot in range(_metrics.SLOTS) if slot not in taken), None)


def post_fork(_server: Any, worker: Any) -> None:
    """Let the application, which is loaded next, know its slot."""
    _metrics.Place.slot = worker.slot


def post_worker_init(worker: Any) -> None:
    """Begin what runs beside the requests."""
    services = worker.wsgi.extensions[_EXTENSION]
    services.watch.start()
    services.planes.start(lambda: worker.alive)
    services.copies.start()
    worker.identity = services.identity
    worker.output = _output()
    worker.output.gathers = True
    worker.callbacks = _callbacks.begin(services)


def worker_exit(_server: Any, worker: Any) -> None:
    """Write what waits to be logged, and take no calls any more; who is connected goes elsewhere, or comes again."""
    if worker.output is not None:
        worker.output.write_out()
    if (server := getattr(worker, "callbacks", None)) is not None:
        server.stop(None).wait()
