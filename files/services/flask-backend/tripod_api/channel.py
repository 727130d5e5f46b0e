"""The way to go-backend: gRPC behind circuit breakers, so that nobody waits for it while it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

import grpc
from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from .errors import ApiError

T = TypeVar("T")

DEADLINE = 2.0
FAILURES_TO_OPEN = 3
OPEN_SECONDS = 5.0

# What go-backend's answers are in HTTP: a status and a code for programs. All others mean that it is away.
Answers = Mapping[grpc.StatusCode, tuple[int, str]]

CHANNEL_OPTIONS = (
    # gRPC's own back-off grows to two minutes; go-backend restarts within seconds, possibly at another address.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # The longest answer of the host's agent.
    ("grpc.max_receive_message_length", 16 << 20),
)


class Unavailable(ApiError):
    """Who was asked does not answer, or the breaker is open as it did not of late."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(503, code, message)


class Channel:
    """A connection to go-backend that all who ask share.

    It is made at first use, which is after gunicorn's fork: gRPC's threads do not survive one.

    Args:
        target: gRPC target, e.g. ``go-backend:50051``.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel: grpc.Channel | None = None
        self._lock = threading.Lock()

    def connect(self) -> grpc.Channel:
        """Return the connection, which is there from the first call on."""
        with self._lock:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._target, CHANNEL_OPTIONS)
            return self._channel

    def close(self) -> None:
        """Drop the connection; the next call makes another."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None


class Circuit:
    """A circuit breaker for many threads, around one kind of questions.

    pybreaker holds a lock while it calls. One breaker a thread, over one common state, keeps the calls parallel.

    Args:
        channel: Whom to ask.
        answers: What counts as an answer rather than as a failure.
        code: Of the refusal where there is none.
        message: Likewise, for persons.
    """

    def __init__(self, channel: Channel, answers: Answers, code: str, message: str) -> None:
        self._channel = channel
        self._answers = answers
        self._away = (code, message)
        self._state = CircuitMemoryStorage(STATE_CLOSED)
        self._local = threading.local()

    def call(self, ask: Callable[[grpc.Channel], T]) -> T:
        """Return what asking returns.

        Raises:
            ApiError: It was answered with one of the answers.
            Unavailable: It was not.
        """
        try:
            return self._breaker.call(ask, self._channel.connect())
        except CircuitBreakerError:
            raise Unavailable(*self._away) from None
        except grpc.RpcError as error:
            if error.code() not in self._answers:
                raise Unavailable(*self._away) from error
            status, code = self._answers[error.code()]
            raise ApiError(status, code, error.details() or code) from None

    @property
    def _breaker(self) -> CircuitBreaker:
        if not hasattr(self._local, "breaker"):
            self._local.breaker = CircuitBreaker(
                fail_max=FAILURES_TO_OPEN,
                reset_timeout=OPEN_SECONDS,
                exclude=[lambda error: isinstance(error, grpc.RpcError) and error.code() in self._answers],
                state_storage=self._state,
            )
        return self._local.breaker  # type: ignore[no-any-return]
