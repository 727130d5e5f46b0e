"""go-backend's workers, which have the packets of NIC queues past the network stack: questions and answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from .channel import Channel, Circuit, Confidential, Stream
from .errors import ApiError
from .gen import dataplane_pb2 as pb
from .gen.dataplane_pb2_grpc import DataPlaneServiceStub
from .schemas import NewCapture

# A worker that is stopped handles first what has come.
CHANGE_DEADLINE = 25.0
# Beyond a capture's own limit: it ends by itself.
CAPTURE_GRACE = 3.0
# Each has a thread for as long as it lasts, of which there are sixteen.
CAPTURES = 2
ANSWERS = {
    grpc.StatusCode.INVALID_ARGUMENT: (422, "invalid_request"),
    grpc.StatusCode.NOT_FOUND: (404, "worker_not_found"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "worker_refused"),
}
AWAY = ("workers_unavailable", "The data plane's control service does not answer; its workers go on.")


class Afxdp(Confidential):
    """The workers' questions and answers.

    Every question raises an ApiError where it is refused, with each reason on a line of its own, or not answered.

    Args:
        channel: The way to go-backend.
        secret: What it takes for these questions; None where this service was given none.
        captures: Places for captures of all hosts.
    """

    def __init__(self, channel: Channel, secret: str | None, captures: threading.BoundedSemaphore) -> None:
        super().__init__(Circuit("workers", channel, ANSWERS, *AWAY), secret, AWAY[0])
        self._captures = captures

    def workers(self) -> list[dict[str, Any]]:
        """Return all workers, by name."""
        found: pb.ListWorkersResponse = self._ask(lambda channel: _stub(channel).ListWorkers, pb.ListWorkersRequest())
        return [_worker(one) for one in found.workers]

    def start(self, name: str) -> dict[str, Any]:
        """Start a worker that was stopped, and return it."""
        asked = pb.StartWorkerRequest(name=name)
        made: pb.StartWorkerResponse = self._ask(lambda channel: _stub(channel).StartWorker, asked, CHANGE_DEADLINE)
        return _worker(made.worker)

    def stop(self, name: str) -> dict[str, Any]:
        """Let a worker's packets go to the network stack, and return it."""
        asked = pb.StopWorkerRequest(name=name)
        made: pb.StopWorkerResponse = self._ask(lambda channel: _stub(channel).StopWorker, asked, CHANGE_DEADLINE)
        return _worker(made.worker)

    def move(self, name: str, cpus: list[int]) -> dict[str, Any]:
        """Let a worker run on other CPUs, and return it."""
        asked = pb.MoveWorkerRequest(name=name, cpus=cpus)
        made: pb.MoveWorkerResponse = self._ask(lambda channel: _stub(channel).MoveWorker, asked, CHANGE_DEADLINE)
        return _worker(made.worker)

    def reload(self) -> list[dict[str, Any]]:
        """Have the file of workers read again, and return all workers."""
        asked = pb.ReloadWorkersRequest()
        made: pb.ReloadWorkersResponse = self._ask(lambda channel: _stub(channel).ReloadWorkers, asked, CHANGE_DEADLINE)
        return [_worker(one) for one in made.workers]

    def stats(self, name: str | None) -> dict[str, Any]:
        """Return what became of the packets of a worker, or of all."""
        asked = pb.GetWorkerStatsRequest(name=name or "")
        found: pb.GetWorkerStatsResponse = self._ask(lambda channel: _stub(channel).GetWorkerStats, asked)
        return {"timestamp": found.timestamp.ToJsonString(), "queues": [_queue(one) for one in found.queues]}

    def backends(self, name: str | None) -> list[dict[str, Any]]:
        """Return what a worker that balances spreads flows over, or all of them do."""
        asked = pb.ListBackendsRequest(name=name or "")
        found: pb.ListBackendsResponse = self._ask(lambda channel: _stub(channel).ListBackends, asked)
        return [
            {
                **{key: getattr(one, key) for key in _OF_BACKEND},
                "reason": one.reason or None,
                "since": one.since.ToJsonString(),
            }
            for one in found.backends
        ]

    def capture(self, wanted: NewCapture) -> Capture:
        """Begin to capture; what is returned has to be closed.

        Raises:
            ApiError: 429 where others capture; and as all questions.
        """
        asked = pb.CaptureRequest(
            name=wanted.worker,
            filter=wanted.filter,
            max_packets=wanted.packets,
            max_bytes=wanted.bytes,
            max_seconds=wanted.seconds,
            snap_length=wanted.snap_length,
        )
        if not self._captures.acquire(blocking=False):
            raise ApiError(429, "busy", "Others capture at this moment; try again once they are done.", Retry_After="5")
        try:
            seconds = wanted.seconds + CAPTURE_GRACE
            stream = self._ask_for_many(lambda channel: _stub(channel).Capture, asked, seconds)
        except BaseException:
            self._captures.release()
            raise
        return Capture(stream, self._captures)


class Capture:
    """A capture that goes on.

    Attributes:
        ended: How it ended, once it has.
    """

    def __init__(self, stream: Stream, place: threading.BoundedSemaphore) -> None:
        self._stream = stream
        self._place: threading.BoundedSemaphore | None = place
        self._closed = threading.Event()
        self.ended: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Give the file, piece by piece."""
        for piece in self._stream:
            if piece.ended:
                self.ended = {key: getattr(piece, key) for key in ("packets", "seen", "missed", "ended")}
            if piece.data:
                yield piece.data

    def watch(self, check: Callable[[], None], seconds: float) -> None:
        """Break it off once a check raises, which is made every so many seconds, whether packets come or not."""

        def look() -> None:
            while not self._closed.wait(seconds):
                try:
                    check()
                except Exception as error:
                    # Who may not have it, or nobody knows: what was sent must not look like the whole file.
                    self.ended = {"ended": str(error)}
                    self._stream.cancel()
                    return

        threading.Thread(target=look, name="capture", daemon=True).start()

    def close(self) -> None:
        """End it, where it has not ended by itself; a second time does nothing."""
        self._closed.set()
        place, self._place = self._place, None
        if place is not None:
            self._stream.close()
            place.release()


def _stub(channel: grpc.Channel) -> DataPlaneServiceStub:
    return DataPlaneServiceStub(channel)  # type: ignore[no-untyped-call]


def _worker(one: pb.Worker) -> dict[str, Any]:
    return {
        "name": one.name,
        "nic": one.nic,
        "state": one.state,
        "reason": one.reason or None,
        "handler": one.handler,
        "queues": [
            {"queue": queue.queue, "cpu": queue.cpu, "mode": queue.mode, "stalled": queue.stalled}
            for queue in one.queues
        ],
        "memory": one.memory or None,
        "memory_fallback": one.memory_fallback or None,
    }


_OF_BACKEND = ("worker", "name", "address", "alive", "share", "weight", "packets")
_OF_QUEUE = (
    *("worker", "nic", "queue", "fill_level", "rx_level", "tx_level", "completion_level"),
    *("frames", "free_frames", "retries", "busy_ns"),
)
_OF_KERNEL = ("dropped", "ring_full", "fill_empty", "invalid_fill", "invalid_tx")
_OF_HANDLER = ("handler", "packets", "bytes", "consumed", "sent", "forwarded")


def _queue(one: pb.QueueStats) -> dict[str, Any]:
    return {
        **{key: getattr(one, key) for key in _OF_QUEUE},
        "kernel": {key: getattr(one.kernel, key) for key in _OF_KERNEL},
        "handlers": [
            {**{key: getattr(handler, key) for key in _OF_HANDLER}, "dropped": dict(handler.dropped)}
            for handler in one.handlers
        ],
    }
