"""bcrypt, and a check that takes as long for an account that does not exist."""

from __future__ import annotations

import bcrypt

from .schemas import PASSWORD_BYTES


class Passwords:
    """Hashes and checks passwords at one cost.

    Args:
        rounds: Binary logarithm of the iterations.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._nobody = bcrypt.hashpw(b"", bcrypt.gensalt(rounds))

    def hash(self, password: str) -> str:
        """Return the hash to store; at most 72 bytes, which the schemas see to."""
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(self._rounds)).decode()

    def check(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is right; without an account the work is done all the same."""
        given = password.encode()
        fits = len(given) <= PASSWORD_BYTES
        right = bcrypt.checkpw(given[:PASSWORD_BYTES], stored.encode() if stored else self._nobody)
        return right and fits and stored is not None
