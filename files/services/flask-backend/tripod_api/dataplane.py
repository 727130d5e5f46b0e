"""go-backend over gRPC, behind a circuit breaker: while it is away, nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from .errors import ApiError
from .gen import backend_pb2, backend_pb2_grpc

T = TypeVar("T")

DEADLINE = 2.0
FAILURES_TO_OPEN = 3
OPEN_SECONDS = 5.0

# go-backend answered; what it refused was the question.
ANSWERS = {
    grpc.StatusCode.INVALID_ARGUMENT: (422, "invalid_frame"),
    grpc.StatusCode.NOT_FOUND: (404, "interface_not_found"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "program_mismatch"),
}

CHANNEL_OPTIONS = (
    # gRPC's own back-off grows to two minutes; go-backend restarts within seconds, possibly at another address.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
)


class Unavailable(ApiError):
    """go-backend does not answer, or the breaker is open as it did not of late."""

    def __init__(self) -> None:
        super().__init__(
            503, "dataplane_unavailable", "The data plane's control service does not answer; try again shortly."
        )


class Dataplane:
    """go-backend's questions and answers, as the REST API words them.

    The channel is made at first use, which is after gunicorn's fork: gRPC's threads do not survive one.

    Args:
        target: gRPC target, e.g. ``go-backend:50051``.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel: grpc.Channel | None = None
        self._lock = threading.Lock()
        # Apart, or a go-backend that says it can't serve would be taken for one that is away.
        self._health = _Circuit()
        self._backend = _Circuit()

    def status(self) -> dict[str, Any]:
        """Return whether go-backend serves, and the programs attached; it being away is an answer, too."""
        try:
            health = self._call(
                self._health,
                lambda channel: health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=DEADLINE
                ),
            )
        except Unavailable:
            return {"reachable": False, "status": "unreachable", "interfaces": [], "problems": []}
        try:
            stats = self._stats()
        except Unavailable:
            stats = backend_pb2.StatsResponse()
        return {
            "reachable": True,
            "status": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status).lower(),
            "interfaces": [
                {"name": entry.name, "mode": entry.mode, "program": _program(entry.program)}
                for entry in stats.interfaces
            ],
            "problems": _problems(stats),
        }

    def stats(self) -> dict[str, Any]:
        """Return the counters of every interface that has any to give, and what is wrong with the others."""
        stats = self._stats()
        return {
            "timestamp": stats.timestamp.ToJsonString(),
            "interfaces": [
                {
                    "name": entry.name,
                    "mode": entry.mode,
                    "program": _program(entry.program),
                    "counters": [
                        {
                            "verdict": _verdict(counter.verdict),
                            "reason": counter.reason,
                            "packets": counter.packets,
                            "bytes": counter.bytes,
                        }
                        for counter in entry.counters
                    ],
                }
                for entry in stats.interfaces
            ],
            "problems": _problems(stats),
        }

    def trace(self, interface: str, frame: bytes) -> dict[str, Any]:
        """Return what the program on an interface does with a frame, and why."""
        request = backend_pb2.DataRequest(interface=interface, data=frame)
        answer: backend_pb2.DataResponse = self._call(
            self._backend, lambda channel: _stub(channel).ProcessData(request, timeout=DEADLINE)
        )
        rule = answer.rule
        return {
            "interface": answer.interface,
            "verdict": _verdict(answer.verdict),
            "reason": answer.reason,
            "rule": {"prefix": rule.prefix, "action": rule.action, "owner": rule.owner}
            if answer.HasField("rule")
            else None,
            "program": _program(answer.program),
        }

    def close(self) -> None:
        """Drop the channel; the next call makes another."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _stats(self) -> backend_pb2.StatsResponse:
        stats: backend_pb2.StatsResponse = self._call(
            self._backend, lambda channel: _stub(channel).GetStats(backend_pb2.StatsRequest(), timeout=DEADLINE)
        )
        return stats

    def _call(self, circuit: _Circuit, ask: Callable[[grpc.Channel], T]) -> T:
        try:
            return circuit.breaker.call(ask, self._connect())
        except CircuitBreakerError:
            raise Unavailable from None
        except grpc.RpcError as error:
            if error.code() not in ANSWERS:
                raise Unavailable from error
            status, code = ANSWERS[error.code()]
            raise ApiError(status, code, error.details() or code) from None

    def _connect(self) -> grpc.Channel:
        with self._lock:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._target, CHANNEL_OPTIONS)
            return self._channel


class _Circuit:
    """A circuit breaker for many threads.

    pybreaker holds a lock while it calls. One breaker a thread, over one common state, keeps the calls parallel.
    """

    def __init__(self) -> None:
        self._state = CircuitMemoryStorage(STATE_CLOSED)
        self._local = threading.local()

    @property
    def breaker(self) -> CircuitBreaker:
        if not hasattr(self._local, "breaker"):
            self._local.breaker = CircuitBreaker(
                fail_max=FAILURES_TO_OPEN,
                reset_timeout=OPEN_SECONDS,
                exclude=[lambda error: isinstance(error, grpc.RpcError) and error.code() in ANSWERS],
                state_storage=self._state,
            )
        return self._local.breaker  # type: ignore[no-any-return]


def _stub(channel: grpc.Channel) -> backend_pb2_grpc.BackendServiceStub:
    return backend_pb2_grpc.BackendServiceStub(channel)  # type: ignore[no-untyped-call]


def _program(program: backend_pb2.Program) -> dict[str, Any]:
    return {"id": program.id, "name": program.name, "tag": program.tag}


def _problems(stats: backend_pb2.StatsResponse) -> list[dict[str, Any]]:
    return [
        {"interface": entry.interface or None, "state": entry.state, "problem": entry.problem}
        for entry in stats.problems
    ]


def _verdict(verdict: backend_pb2.Verdict) -> str:
    # A number without a name must not cost the caller all the others; the kernel's are lower by one.
    if verdict not in backend_pb2.Verdict.values():
        return f"unknown_{verdict - 1}"
    return backend_pb2.Verdict.Name(verdict).removeprefix("VERDICT_").lower()
