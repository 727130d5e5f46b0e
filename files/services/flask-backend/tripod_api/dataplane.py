"""What go-backend tells of the data plane, as the REST API words it."""

from __future__ import annotations

from datetime import UTC, datetime
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
        # Likewise: it is asked every second, whoever else asks or does not.
        self._readings = Circuit("readings", channel, ANSWERS, *AWAY)

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
        return _counters(self._stats())

    def readings(self, after: str, seconds: float) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
        """Return what `stats` was in each of the last seconds, by the name of the reading, and whether some is lost.

        Args:
            after: The last one that the caller has; empty for all that there are.
            seconds: How long to wait where there is none yet.
        """
        request = backend_pb2.ListReadingsRequest(after=after, wait_ms=int(seconds * 1000))
        answer: backend_pb2.ListReadingsResponse = self._readings.call(
            lambda channel: _stub(channel).ListReadings(request, timeout=DEADLINE + seconds)
        )
        return [(one.id, _counters(one.stats)) for one in answer.readings], answer.lost

    def rates(self, resolution: str, steps: int) -> dict[str, Any]:
        """Return what was counted in the last steps of a resolution; one of which nothing is known has no numbers."""
        request = backend_pb2.GetRatesRequest(resolution=f"RESOLUTION_{resolution.upper()}", steps=steps)
        answer: backend_pb2.GetRatesResponse = self._backend.call(
            lambda channel: _stub(channel).GetRates(request, timeout=DEADLINE)
        )
        begin = datetime.fromtimestamp(answer.begin, UTC) if answer.HasField("begin") else None
        return {
            "begin": begin.isoformat() if begin else None,
            "step_seconds": answer.step_seconds,
            "interfaces": [_rates(entry) for entry in answer.interfaces],
            "left_out": answer.left_out,
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


def _counters(stats: backend_pb2.StatsResponse) -> dict[str, Any]:
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


def _rates(entry: backend_pb2.InterfaceRates) -> dict[str, Any]:
    known = list(entry.known_ms)
    return {
        "name": entry.name,
        "known_ms": known,
        "rates": [
            {
                "verdict": _verdict(one.verdict),
                "reason": one.reason,
                "packets": [value if part else None for value, part in zip(one.packets, known, strict=True)],
                "bytes": [value if part else None for value, part in zip(one.bytes, known, strict=True)],
            }
            for one in entry.rates
        ],
    }


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
