"""Token buckets of the reference model: tokens that are counted, one bucket for each who is counted apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MULTIPLES = {"k": 10**3, "M": 10**6, "G": 10**9}
# What may come at once where a second's worth is less: a packet, the longest frame.
LEAST = {"packets": 1, "bytes": 65536}
SECONDS = {"s": 1, "m": 60, "h": 3600}


def amount(value: int | str) -> int:
    """Return a number, as ``200``, ``"200"`` or ``"200M"`` says it."""
    text = str(value)
    return int(text[:-1]) * MULTIPLES[text[-1]] if text[-1] in MULTIPLES else int(text)


def rate(text: str) -> float:
    """Return a rate a second, as ``50/s``, ``200M/s`` or ``10/m`` says it."""
    count, _slash, unit = text.partition("/")
    return amount(count) / SECONDS[unit]


class Bucket:
    """So many tokens at most, so many more a second; full at first."""

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._tokens, self._since = burst, now

    def take(self, count: float, now: float) -> bool:
        """Take tokens where so many are there, and return whether."""
        self._tokens = min(self._burst, self._tokens + (now - self._since) * self._per_second)
        self._since = now
        if self._tokens < count:
            return False
        self._tokens -= count
        return True


class Limit:
    """A limit of a policy, with all its buckets.

    Args:
        options: As the operator wrote it.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.name = options["name"]
        self.observed = options.get("mode", "enforce") == "observe"
        self._per = options.get("per", "source")
        self._lengths = {4: options.get("ipv4_prefix", 32), 6: options.get("ipv6_prefix", 64)}
        self._rates = []  # a second, burst, whether it counts bytes
        for unit in ("packets", "bytes"):
            if unit in options:
                each = rate(options[unit])
                burst = options.get("burst")
                if isinstance(burst, Mapping):
                    burst = burst.get(unit)
                if burst is None:
                    burst = max(int(each), LEAST[unit])
                self._rates.append((each, amount(burst), unit == "bytes"))
        self._buckets: dict[tuple[Any, ...], list[Bucket]] = {}

    def ask(self, family: int, source: int, service: str | None, length: int, now: float) -> list[bool]:
        """Charge a packet; return of each bucket that was asked whether it had enough.

        Args:
            family, source: Of the packet.
            service: Name of the service that takes the limit; None where a list or a rule does.
            length: Bytes of the frame.
            now: Seconds.
        """
        key: tuple[Any, ...] = ()
        if self._per == "source":
            key = (family, source >> ((32 if family == 4 else 128) - self._lengths[family]))
        elif self._per == "service":
            key = (service,)
        buckets = self._buckets.get(key)
        if buckets is None:
            buckets = self._buckets[key] = [Bucket(each, burst, now) for each, burst, _bytes in self._rates]
        answers = []
        for bucket, (_each, _burst, counts_bytes) in zip(buckets, self._rates, strict=True):
            answers.append(bucket.take(length if counts_bytes else 1, now))
            if not answers[-1]:
                break
        return answers
