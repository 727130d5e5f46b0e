"""What go-backend tells of the data plane, as the REST API words it."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .channel import DEADLINE, Channel, Circuit, Unavailable
from .gen import backend_pb2, backend_pb2_grpc

# go-backend answered; what it refused was the question.
ANSWERS = {
    grpc.StatusCode.INVALID_ARGUMENT: (422, "invalid_frame"),
    grpc.StatusCode.NOT_FOUND: (404, "interface_not_found"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "program_mismatch"),
}
AWAY = ("dataplane_unavailable", "The data plane's control service does not answer; try again shortly.")


class Dataplane:
    """go-backend's questions and answers.

    Args:
        channel: The way to it.
    """

    def __init__(self, channel: Channel) -> None:
        # Apart, or a go-backend that says it can't serve would be taken for one that is away.
        self._health = Circuit("health", channel, {}, *AWAY)
        self._backend = Circuit("dataplane", channel, ANSWERS, *AWAY)

    def status(self) -> dict[str, Any]:
        """Return whether go-backend serves, and the programs attached; it being away is an answer, too."""
        try:
            health = self._health.call(
                lambda channel: health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=DEADLINE
                )
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

    def parts(self) -> dict[str, Any]:
        """Return what each list, rule, limit and service has met, by interface."""
        stats = self._stats(parts=True)
        return {
            "timestamp": stats.timestamp.ToJsonString(),
            "interfaces": [
                {"name": entry.name, "parts": [_part(part) for part in entry.parts]} for entry in stats.interfaces
            ],
        }

    def trace(self, interface: str, frame: bytes) -> dict[str, Any]:
        """Return what the program on an interface does with a frame, why, and by whose word."""
        request = backend_pb2.DataRequest(interface=interface, data=frame)
        answer: backend_pb2.DataResponse = self._backend.call(
            lambda channel: _stub(channel).ProcessData(request, timeout=DEADLINE)
        )
        would = None
        if answer.would != backend_pb2.VERDICT_UNSPECIFIED:
            would = {"verdict": _verdict(answer.would), "reason": answer.would_reason}
        return {
            "interface": answer.interface,
            "verdict": _verdict(answer.verdict),
            "reason": answer.reason,
            "would": would,
            "path": [
                {"part": step.part, "id": step.id or None, "says": step.says, "observed": step.observed}
                for step in answer.path
            ],
            "extended": answer.extended,
            "program": _program(answer.program),
        }

    def _stats(self, parts: bool = False) -> backend_pb2.StatsResponse:
        request = backend_pb2.StatsRequest(parts=parts)
        stats: backend_pb2.StatsResponse = self._backend.call(
            lambda channel: _stub(channel).GetStats(request, timeout=DEADLINE)
        )
        return stats


def _stub(channel: grpc.Channel) -> backend_pb2_grpc.BackendServiceStub:
    return backend_pb2_grpc.BackendServiceStub(channel)  # type: ignore[no-untyped-call]


def _program(program: backend_pb2.Program) -> dict[str, Any]:
    return {"id": program.id, "name": program.name, "tag": program.tag}


def _part(part: backend_pb2.PartCounter) -> dict[str, Any]:
    return {
        "part": part.part,
        "id": part.id,
        "packets": part.packets,
        "bytes": part.bytes,
        "observed_packets": part.observed_packets,
        "observed_bytes": part.observed_bytes,
        "last": part.last.ToJsonString() if part.HasField("last") else None,
    }


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
