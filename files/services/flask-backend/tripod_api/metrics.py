"""Request counts of all workers, in one piece of memory that they share.

It belongs to no file: a mapped file on a full disk ends the process that touches it (SIGBUS), and each worker that dies
leaves one behind. gunicorn's master imports this module, so every worker inherits the same memory; each writes to a
slot of its own, and the worker that replaces it goes on where it was, so that counters never fall.
"""

from __future__ import annotations

import mmap
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from itertools import product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

SLOTS = 8
ROUTES = 64
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
STATUSES = tuple(status.value for status in HTTPStatus)
_METHOD_NUMBERS = {method: number for number, method in enumerate(METHODS)}
_STATUS_NUMBERS = {status: number for number, status in enumerate(STATUSES)}
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, float("inf"))

# Of each method and route: a count for each status, one for each bound, and the seconds in all.
CELL = len(STATUSES) + len(BOUNDS) + 1
SLOT = CELL * len(METHODS) * ROUTES
SHARED = memoryview(mmap.mmap(-1, SLOTS * SLOT * 8)).cast("d")

# Circuit breakers of a worker, by host and by what they are asked; of each one the number of its state, from 1, as 0 is
# no worker.
HOSTS = 32
CIRCUITS = ("health", "dataplane", "readings", "policy", "workers")
STATES = ("closed", "half-open", "open")
SHARED_CIRCUITS = memoryview(mmap.mmap(-1, SLOTS * HOSTS * len(CIRCUITS)))
# Of each host, how often a worker found it there again.
SHARED_RETURNS = memoryview(mmap.mmap(-1, HOSTS * 8)).cast("Q")


class Place:
    """Which slot is this process's; gunicorn's hooks set it, and elsewhere there is none."""

    slot: int | None = None


class Requests(Collector):
    """What one worker counts into its slot, and reads from all of them.

    Args:
        routes: Every route there is; a request that met none is the last one's.
        slot: The worker's own; None for a count apart from the others.
    """

    def __init__(self, routes: Sequence[str], slot: int | None) -> None:
        if len(routes) > ROUTES:
            raise ValueError(f"{len(routes)} routes, the table has room for {ROUTES}: raise ROUTES")
        self._routes = {route: number for number, route in enumerate(routes)}
        self._table = SHARED if slot is not None else memoryview(bytearray(SLOT * 8)).cast("d")
        self._mine = (slot or 0) * SLOT
        self._lock = threading.Lock()

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; what has no place of its own goes to the last of its kind."""
        method_number = _METHOD_NUMBERS.get(method, len(METHODS) - 1)
        route_number = self._routes.get(route, len(self._routes) - 1)
        cell = self._mine + (method_number * ROUTES + route_number) * CELL
        status_number = _STATUS_NUMBERS.get(status, _STATUS_NUMBERS[500])
        bound = cell + len(STATUSES) + bisect_left(BOUNDS, seconds)
        with self._lock:
            self._table[cell + status_number] += 1
            self._table[bound] += 1
            self._table[cell + CELL - 1] += seconds

    def collect(self) -> Iterable[Metric]:
        """Give Prometheus' client the sums over all workers."""
        labels = ["method", "route"]
        requests = CounterMetricFamily("tripod_api_requests", "Requests answered.", labels=[*labels, "status"])
        durations = HistogramMetricFamily(
            "tripod_api_request_duration_seconds", "Time to answer a request.", labels=labels
        )
        for method, route, cell in self._cells():
            statuses, bounds = cell[: len(STATUSES)], cell[len(STATUSES) : -1]
            for status, count in zip(STATUSES, statuses, strict=True):
                if count:
                    requests.add_metric([method, route, str(status)], count)
            buckets, total = [], 0.0
            for bound, count in zip(BOUNDS, bounds, strict=True):
                total += count
                buckets.append((str(bound) if bound != float("inf") else "+Inf", total))
            durations.add_metric([method, route], buckets=buckets, sum_value=cell[-1])
        return requests, durations

    def _cells(self) -> Iterator[tuple[str, str, list[float]]]:
        for method_number, method in enumerate(METHODS):
            for route, route_number in self._routes.items():
                first = (method_number * ROUTES + route_number) * CELL
                slots = [self._table[at : at + CELL] for at in range(first, len(self._table), SLOT)]
                cell = [sum(values) for values in zip(*slots, strict=True)]
                if any(cell):
                    yield method, route, cell


class Circuits(Collector):
    """What state the circuit breakers of one worker are in, and of all; and what tells all that a host is there again.

    Args:
        slot: The worker's own; None for states apart from the others'.
        hosts: Whom it asks, HOSTS at most.
    """

    def __init__(self, slot: int | None, hosts: Sequence[str]) -> None:
        self._circuits = list(product(hosts, CIRCUITS))
        self._table = SHARED_CIRCUITS if slot is not None else memoryview(bytearray(HOSTS * len(CIRCUITS)))
        self._mine = (slot or 0) * HOSTS * len(CIRCUITS)
        self._hosts = {host: number for number, host in enumerate(hosts)}
        self._returns = SHARED_RETURNS if slot is not None else memoryview(bytearray(HOSTS * 8)).cast("Q")
        for host, circuit in self._circuits:
            self.tell(host, circuit, "closed")

    def tell(self, host: str, circuit: str, state: str) -> None:
        """Note the state of one."""
        self._table[self._mine + self._circuits.index((host, circuit))] = STATES.index(state) + 1

    def returned(self, host: str) -> None:
        """Tell all workers that a host is there again; of two who say so at once one is enough."""
        self._returns[self._hosts[host]] += 1

    def returns(self, host: str) -> int:
        """Return what is another number once a host was there again."""
        return self._returns[self._hosts[host]]

    def collect(self) -> Iterable[Metric]:
        """Give Prometheus' client the number of workers in each state."""
        workers = GaugeMetricFamily(
            "tripod_api_circuit_workers",
            "Workers whose circuit breaker to go-backend is in a state; where it is open nobody is asked.",
            labels=["host", "circuit", "state"],
        )
        for number, (host, circuit) in enumerate(self._circuits):
            found = list(self._table[number :: HOSTS * len(CIRCUITS)])
            for value, state in enumerate(STATES, 1):
                workers.add_metric([host, circuit, state], found.count(value))
        return (workers,)
