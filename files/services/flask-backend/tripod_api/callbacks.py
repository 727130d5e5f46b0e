"""What go-backends call this service for: gRPC on a port of its own, in each worker beside the requests.

A caller is a host by its certificate, and by nothing that it says. All workers listen on the same port (SO_REUSEPORT),
and the kernel gives each connection to one of them. The server begins after gunicorn's fork, as its threads do not
survive one.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from . import drops, handshakes
from .config import Settings
from .context import Services
from .copies import Copies
from .database import Conflict, Database, DatabaseUnavailable
from .errors import ApiError
from .gen import callbacks_pb2 as pb
from .gen import callbacks_pb2_grpc
from .identity import Held, Identity
from .migrations import SchemaMismatch
from .planes import Plane, Planes
from .watch import Watch

logger = logging.getLogger(__name__)

THREADS = 4
# Calls of all hosts that may be there at once; those beyond are told to come again.
CALLS = 16
# Of calls with samples of one host, which come once a second.
BETWEEN_SECONDS = 0.5
WORDS = re.compile(r"[!-~]{0,64}")

OPTIONS = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", 256 << 10),
    ("grpc.max_concurrent_streams", CALLS),
    # Who begins a handshake and says no more goes soon, and whoever is connected shows its certificate again each hour.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_age_ms", 3_600_000),
    # go-backend asks every 20 s whether this service is still there; gRPC's own limit is 5 minutes.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class Callers:
    """Which certificate is whose.

    Args:
        settings: Name the hosts, and by what each is known.
        planes: They.
    """

    def __init__(self, settings: Settings, planes: Planes) -> None:
        names = {one.name: one.tls_name or settings.go_backend_name for one in settings.go_backends}
        self._planes = {names[plane.name]: plane for plane in planes if names[plane.name]}

    def of(self, context: grpc.ServicerContext) -> Plane:
        """Return the host that calls, or end the call."""
        names: Iterable[Any] = context.auth_context().get("x509_subject_alternative_name", ())
        shown = [name.decode(errors="replace") for name in names]
        found = next((self._planes[name] for name in shown if name in self._planes), None)
        if found is None:
            reason = f"the certificate is for {', '.join(shown) or 'nobody'}, and calls are taken from {self}"
            logger.warning("callback refused", extra={"client": context.peer(), "reason": reason})
            _end(context, grpc.StatusCode.PERMISSION_DENIED, reason)
        return found

    def __str__(self) -> str:
        """Name those who may call."""
        return " and ".join(self._planes) or "nobody"


class Callbacks(callbacks_pb2_grpc.CallbackServiceServicer):
    """The calls.

    Args:
        callers: Whose they are.
        watch: What the database was found to be.
        copies: Looks at a host.
        database: Where samples are kept.
    """

    def __init__(self, callers: Callers, watch: Watch, copies: Copies, database: Database) -> None:
        self._callers = callers
        self._database = database
        self._watch = watch
        self._copies = copies
        self._lock = threading.Lock()
        self._served: set[str] = set()
        self._dropped: dict[str, float] = {}

    def Started(self, request: pb.StartedRequest, context: grpc.ServicerContext) -> pb.StartedResponse:  # noqa: N802
        """Look at a host that says it is there, and give back what it lost."""
        plane = self._callers.of(context)
        if not (WORDS.fullmatch(request.boot_id) and WORDS.fullmatch(request.version)):
            _end(context, grpc.StatusCode.INVALID_ARGUMENT, "boot_id and version have up to 64 printable characters")
        with self._alone(plane, context), _translated(context):
            plane.channel.returned()
            self._watch.check()
            given_back = self._copies.look(plane)
        told = {"host": plane.name, "boot_id": request.boot_id, "version": request.version, "given_back": given_back}
        logger.info("go-backend has started", extra=told)
        return pb.StartedResponse(given_back=given_back)

    def Dropped(self, request: pb.DroppedRequest, context: grpc.ServicerContext) -> pb.DroppedResponse:  # noqa: N802
        """Keep samples of drops."""
        plane = self._callers.of(context)
        with self._alone(plane, context), _translated(context):
            self._pace(plane, context)
            self._watch.check()
            drops.keep(self._database, plane.name, request)
        return pb.DroppedResponse()

    def _pace(self, plane: Plane, context: grpc.ServicerContext) -> None:
        """Refuse who comes again too soon: a host is not to have the database write all the time."""
        moment = time.monotonic()
        if moment < self._dropped.get(plane.name, 0.0):
            _end(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "samples are taken once a second")
        self._dropped[plane.name] = moment + BETWEEN_SECONDS

    @contextmanager
    def _alone(self, plane: Plane, context: grpc.ServicerContext) -> Iterator[None]:
        """Serve one call of a host at a time, so that none takes all threads."""
        with self._lock:
            busy = plane.name in self._served
            self._served.add(plane.name)
        if busy:
            _end(context, grpc.StatusCode.RESOURCE_EXHAUSTED, f"a call of {plane.name} is in hand")
        try:
            yield
        finally:
            with self._lock:
                self._served.discard(plane.name)


class Health(health.HealthServicer):  # type: ignore[misc]
    """gRPC's health, for those who may call at all; nobody watches it, as that would hold a thread."""

    def __init__(self, callers: Callers) -> None:
        super().__init__()
        self._callers = callers
        self.set("", health_pb2.HealthCheckResponse.SERVING)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Tell that calls are taken."""
        self._callers.of(context)
        return super().Check(request, context)

    def Watch(self, request: Any, context: grpc.ServicerContext, send_response_callback: Any = None) -> None:  # noqa: N802, ARG002
        """Refuse."""
        _end(context, grpc.StatusCode.UNIMPLEMENTED, "ask by Check")


def _end(context: grpc.ServicerContext, code: grpc.StatusCode, words: str) -> NoReturn:
    context.abort(code, words)
    raise AssertionError


@contextmanager
def _translated(context: grpc.ServicerContext) -> Iterator[None]:
    """Let what stands in the way be an answer of gRPC's."""
    try:
        yield
    except drops.Malformed as error:
        _end(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except (Conflict, DatabaseUnavailable, SchemaMismatch) as error:
        # What the database said is for this service's log, where the watch has it.
        _end(context, grpc.StatusCode.UNAVAILABLE, f"the database does not serve ({type(error).__name__})")
    except ApiError as error:
        _end(context, grpc.StatusCode.UNAVAILABLE, error.message)


def serve(port: int, identity: Identity, callers: Callers, services: Services) -> grpc.Server:
    """Begin to take calls.

    Args:
        port: Where.
        identity: What callers are shown, and whose certificates are taken.
        callers: Who may call.
        services: What the calls are about.

    Raises:
        RuntimeError: The port is somebody else's.
        Unusable: There are no certificates.
    """
    server = grpc.server(ThreadPoolExecutor(THREADS, "callbacks"), options=OPTIONS, maximum_concurrent_rpcs=CALLS)
    callbacks_pb2_grpc.add_CallbackServiceServicer_to_server(  # type: ignore[no-untyped-call]
        Callbacks(callers, services.watch, services.copies, services.database), server
    )
    health_pb2_grpc.add_HealthServicer_to_server(Health(callers), server)
    server.add_secure_port(f"0.0.0.0:{port}", _credentials(identity))
    server.start()
    return server


def _credentials(identity: Identity) -> grpc.ServerCredentials:
    """Return what each connection is taken with: what the files hold in that moment."""
    shown = identity.held()

    def fetch() -> Any:
        nonlocal shown
        held = identity.held()
        if held is shown:
            return None
        shown = held
        return _configuration(held)

    return grpc.dynamic_ssl_server_credentials(_configuration(shown), fetch, require_client_authentication=True)


def _configuration(held: Held) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(held.key, held.certificate)], held.authority)


def begin(services: Services) -> grpc.Server | None:
    """Take calls, where the deployment says so; what prevents it is logged, and keeps no request from being served."""
    port, identity = services.settings.grpc_port, services.identity
    if not port or identity is None:
        return None
    handshakes.in_the_log()
    try:
        return serve(port, identity, Callers(services.settings, services.planes), services)
    except Exception:
        logger.exception("calls of go-backends cannot be taken", extra={"port": port})
        return None
