"""gunicorn's settings; `python -m tripod_api` starts it with this file."""

from __future__ import annotations

from typing import Any

from prometheus_client.multiprocess import mark_process_dead

# Every public name here is taken for a setting.
from tripod_api.config import load as _load
from tripod_api.logs import configuration as _configuration

_settings = _load()

wsgi_app = "tripod_api.app:create_app()"
bind = [f"0.0.0.0:{_settings.http_port}"]
worker_class = "gthread"
workers = 2
threads = 8
# Each worker touches a file there now and then; on a disk that stalls, the touch would stall the worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108
timeout = 30
graceful_timeout = 20
keepalive = 5
control_socket_disable = True
logconfig_dict = _configuration(_settings.log_level)


def child_exit(_server: Any, worker: Any) -> None:
    """Fold a dead worker's metrics away."""
    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
