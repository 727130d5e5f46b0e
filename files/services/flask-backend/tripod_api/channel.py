"""The way to go-backend: gRPC behind circuit breakers, so that nobody waits for it while it is away."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, TypeVar

import grpc
from pybreaker import STATE_CLOSED, CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from . import requestid
from .config import GO_BACKEND
from .errors import ApiError
from .identity import Held, Identity, Unusable
from .metrics import Circuits

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEADLINE = 2.0
FAILURES_TO_OPEN = 3
OPEN_SECONDS = 5.0

# What go-backend's answers are in HTTP: a status and a code for programs. All others mean that it is away.
Answers = Mapping[grpc.StatusCode, tuple[int, str]]

# What only reads may be asked again: gRPC waits for a random part of each back-off, and stays within the deadline.
READS = (
    *({"service": service} for service in ("tripod.v1.BackendService", "grpc.health.v1.Health")),
    *(
        {"service": "tripod.v1.PolicyService", "method": method}
        for method in ("ListPolicies", "GetPolicy", "History", "ListBans", "ListSamples")
    ),
    {"service": "tripod.v1.HostService"},
    *(
        {"service": "tripod.v1.DataPlaneService", "method": method}
        for method in ("ListWorkers", "GetWorkerStats", "ListBackends")
    ),
)
RETRIES = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

CHANNEL_OPTIONS = (
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": READS, "retryPolicy": RETRIES}]})),
    # Channels of one address share their connections otherwise, and so the certificates of the first.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own back-off grows to two minutes; go-backend restarts within seconds, possibly at another address.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # The longest answer of the host's agent.
    ("grpc.max_receive_message_length", 16 << 20),
)


def in_words(details: str) -> str:
    """Return what gRPC says of a failure, and what it means where that can't be seen."""
    if "TSI_DATA_CORRUPTED" in details:
        # An alert that comes after the handshake, as all of TLS 1.3 do that are about the client.
        return f"{details}: go-backend refused this service's certificate, and its log says why"
    return details


class Unavailable(ApiError):
    """Who was asked does not answer, or the breaker is open as it did not of late."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(503, code, message)


class _RequestId(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Tells go-backend for which request it is asked."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._named(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._named(details), request)

    def _named(self, details: Any) -> Any:
        request_id = requestid.current()
        if request_id is None:
            return details
        return details._replace(metadata=(*(details.metadata or ()), (requestid.METADATA, request_id)))


class Crowded(Exception):
    """As many requests wait for an answer as may."""


class Channel:
    """A connection to go-backend that all who ask share.

    It is made at first use, which is after gunicorn's fork: gRPC's threads do not survive one. Where the certificates
    change, or the host was away and is there again, another takes its place, and the former is closed once all who use
    it have their answers.

    Args:
        target: gRPC target, e.g. ``go-backend:50051``; the server's certificate is for its name.
        identity: By what both sides know each other; None for a plain connection.
        circuits: Where the circuit breakers tell their states.
        host: What metrics and the log call it.
        peer: What the server's certificate is for, where that is not the target's name.
        places: How many requests may wait for it at a time, so that others have threads left; None for any number.
    """

    def __init__(  # noqa: PLR0913  (all but the first have a meaning of their own where they lack)
        self,
        target: str,
        identity: Identity | None = None,
        circuits: Circuits | None = None,
        *,
        host: str = GO_BACKEND,
        peer: str = "",
        places: int | None = None,
    ) -> None:
        self._target = target
        self._identity = identity
        self.host = host
        self.options: tuple[tuple[str, str | int], ...] = CHANNEL_OPTIONS
        if identity and peer:
            self.options += (("grpc.ssl_target_name_override", peer),)
        self.circuits = circuits or Circuits(None, [host])
        self._places = threading.BoundedSemaphore(places) if places else None
        self._lock = threading.Lock()
        self._line: _Line | None = None

    @property
    def returns(self) -> int:
        """Another number once the host was away, and some worker found it there again."""
        return self.circuits.returns(self.host)

    def returned(self) -> None:
        """Tell all workers that the host is there again."""
        self.circuits.returned(self.host)

    @contextmanager
    def borrowed(self) -> Iterator[grpc.Channel]:
        """Give the connection to one question.

        Raises:
            Unusable: There are no certificates to connect with.
            Crowded: As many as may wait for an answer.
        """
        with self._place():
            line = self._take()
            try:
                yield line.channel
            finally:
                self._give_back(line)

    def close(self) -> None:
        """Drop the connection; the next question makes another."""
        with self._lock:
            self._retire()

    @contextmanager
    def _place(self) -> Iterator[None]:
        # What runs beside the requests has threads of its own.
        if self._places is None or requestid.current() is None:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise Crowded
        try:
            yield
        finally:
            self._places.release()

    def _take(self) -> _Line:
        held, returns = self._identity.held() if self._identity else None, self.returns
        with self._lock:
            # What could not connect would wait before it tries again.
            if self._line is None or self._line.held is not held or self._line.returns != returns:
                self._retire()
                self._line = _Line(self._open(held), held, returns)
            self._line.users += 1
            return self._line

    def _give_back(self, line: _Line) -> None:
        with self._lock:
            line.users -= 1
            if line.retired and line.users == 0:
                line.channel.close()

    def _open(self, held: Held | None) -> grpc.Channel:
        if held is None:
            channel = grpc.insecure_channel(self._target, self.options)
        else:
            channel = grpc.secure_channel(self._target, held.credentials(), self.options)
        return grpc.intercept_channel(channel, _RequestId())

    def _retire(self) -> None:
        if self._line is not None:
            self._line.retired = True
            if self._line.users == 0:
                self._line.channel.close()
            self._line = None


class _Line:
    """A connection, what it was made with, after which return of the host, and how many use it."""

    def __init__(self, channel: grpc.Channel, held: Held | None, returns: int) -> None:
        self.channel = channel
        self.held = held
        self.returns = returns
        self.users = 0
        self.retired = False


class Stream:
    """Answers that come one after the other, until the last one or `close`, which has to come.

    Args:
        answers: They.
        held: What they need as long.
        cancel: Lets whoever waits for one, in another thread, wait no more.
    """

    def __init__(self, answers: Iterator[Any], held: ExitStack, cancel: Callable[[], Any]) -> None:
        self._answers = answers
        self.close = held.close
        self.cancel = cancel

    def __iter__(self) -> Iterator[Any]:
        """Give them as they come."""
        return self._answers


class Confidential:
    """Questions that take the secret of the host's services.

    Args:
        circuit: By which they are asked.
        secret: None where this service was given none.
        away: Code of the refusal where there is no secret.
    """

    def __init__(self, circuit: Circuit, secret: str | None, away: str) -> None:
        self._circuit = circuit
        self._trusted = secret is not None
        self._away = away
        self._metadata = (("authorization", f"Bearer {secret}"),)

    def _ask(self, question: Callable[[grpc.Channel], Callable[..., T]], asked: Any, seconds: float = DEADLINE) -> T:
        self._require_secret()
        return self._circuit.call(lambda channel: question(channel)(asked, timeout=seconds, metadata=self._metadata))

    def _ask_for_many(
        self, question: Callable[[grpc.Channel], Callable[..., Any]], asked: Any, seconds: float
    ) -> Stream:
        self._require_secret()
        return self._circuit.stream(lambda channel: question(channel)(asked, timeout=seconds, metadata=self._metadata))

    def _require_secret(self) -> None:
        if not self._trusted:
            raise Unavailable(self._away, "This service was given no secret for this: run the role go_backend.")


class Circuit:
    """A circuit breaker for many threads, around one kind of questions.

    pybreaker holds a lock while it calls. One breaker a thread, over one common state, keeps the calls parallel.
    Once one closes, those of the same host do in all workers: nobody has to wait until each has tried for itself.

    Args:
        name: What its metric calls it, one of CIRCUITS.
        channel: Whom to ask.
        answers: What counts as an answer rather than as a failure.
        code: Of the refusal where there is none.
        message: Likewise, for persons.
    """

    def __init__(self, name: str, channel: Channel, answers: Answers, code: str, message: str) -> None:
        self._name = name
        self._channel = channel
        self._answers = answers
        self._away = (code, message)
        self._said = ""
        self._state = CircuitMemoryStorage(STATE_CLOSED)
        self._local = threading.local()
        self._returns = channel.returns

    def call(self, ask: Callable[[grpc.Channel], T]) -> T:
        """Return what asking returns.

        Raises:
            ApiError: It was answered with one of the answers.
            Unavailable: It was not.
        """
        with self._translated(), self._returning(), self._channel.borrowed() as channel:
            return self._breaker.call(ask, channel)

    def stream(self, ask: Callable[[grpc.Channel], Any]) -> Stream:
        """Return the answers of asking, of which the first has come.

        Raises:
            ApiError: As of `call`.
            Unavailable: Likewise.
        """
        with self._translated(), ExitStack() as held:
            with self._returning():
                answers = ask(held.enter_context(self._channel.borrowed()))
                held.callback(answers.cancel)
                first = self._breaker.call(next, answers)
            return Stream(chain([first], answers), held.pop_all(), answers.cancel)

    @contextmanager
    def _returning(self) -> Iterator[None]:
        """Ask a host that some worker found there again, and tell all where it is this one that did."""
        if self._returns != (returns := self._channel.returns):
            self._returns = returns
            self._state.reset_counter()
            self._state.state = STATE_CLOSED
        was = self._state.state
        try:
            yield
        finally:
            if was != STATE_CLOSED and self._state.state == STATE_CLOSED:
                self._channel.returned()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Let what gRPC raises be what the API answers."""
        try:
            yield
        except CircuitBreakerError as error:
            # The call that opens it brings its reason along.
            self._log(error.__cause__ or error.__context__)
            raise Unavailable(*self._away) from None
        except Unusable as error:
            self._log(error)
            raise Unavailable(*self._away) from error
        except Crowded:
            raise Unavailable("host_busy", f"{self._channel.host} has many questions to answer; try again.") from None
        except grpc.RpcError as error:
            if error.code() not in self._answers:
                self._log(error)
                raise Unavailable(*self._away) from error
            status, code = self._answers[error.code()]
            raise ApiError(status, code, error.details() or code) from None
        finally:
            self._channel.circuits.tell(self._channel.host, self._name, self._state.state)

    def _log(self, error: BaseException | None) -> None:
        """Say why there was no answer, such as a refused certificate; once for as long as it stays the same."""
        reason = in_words(error.details() or "") if isinstance(error, grpc.RpcError) else str(error or "")
        if reason and reason != self._said:
            self._said = reason
            logger.warning(
                "go-backend does not answer",
                extra={"host": self._channel.host, "circuit": self._name, "reason": reason},
            )

    def _was_answered(self, error: BaseException) -> bool:
        # A go-backend of another release does not know every question, and answers all others.
        known = {*self._answers, grpc.StatusCode.UNIMPLEMENTED}
        return isinstance(error, grpc.RpcError) and error.code() in known

    @property
    def _breaker(self) -> CircuitBreaker:
        if not hasattr(self._local, "breaker"):
            self._local.breaker = CircuitBreaker(
                fail_max=FAILURES_TO_OPEN,
                reset_timeout=OPEN_SECONDS,
                exclude=[self._was_answered],
                state_storage=self._state,
            )
        return self._local.breaker  # type: ignore[no-any-return]
