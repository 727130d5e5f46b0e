"""Slows down guessing: failed sign-ins are counted per worker, right ones are not."""

from __future__ import annotations

import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from .errors import ApiError

PER_ACCOUNT = parse("10 per 5 minutes")
PER_ADDRESS = parse("100 per 5 minutes")


class Throttle:
    """Failed sign-ins of late, by client address and account, and by client address alone.

    An account is only closed to the address that guesses, or anyone could lock out the admin.
    """

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, address: str, account: str) -> None:
        """Raise a 429 where too many sign-ins failed."""
        for limit, key in _counters(address, account):
            if not self._limiter.test(limit, *key):
                wait = max(1, int(self._limiter.get_window_stats(limit, *key).reset_time - time.time()))
                raise ApiError(
                    429,
                    "too_many_attempts",
                    f"Too many failed sign-ins; try again in {wait} seconds.",
                    Retry_After=str(wait),
                )

    def failed(self, address: str, account: str) -> None:
        """Count a failed sign-in."""
        for limit, key in _counters(address, account):
            self._limiter.hit(limit, *key)


def _counters(address: str, account: str) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    return [(PER_ACCOUNT, ("account", address, account)), (PER_ADDRESS, ("address", address))]
