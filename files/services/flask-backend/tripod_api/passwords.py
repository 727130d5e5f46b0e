"""bcrypt, and a check that takes as long for an account that does not exist; and what makes a password a good one."""

from __future__ import annotations

import fcntl
import itertools
import math
import os
import re
import secrets
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import bcrypt
from zxcvbn import zxcvbn

from .errors import ApiError
from .hasher import Hasher

T = TypeVar("T")

# bcrypt reads no further; a longer password would let its first 72 bytes sign in alone.
PASSWORD_BYTES = 72

# Of a worker's sixteen threads, half may wait for bcrypt: in all, for one account, from one address.
ADMITTED = 8
ADMITTED_ACCOUNT = 2
ADMITTED_ADDRESS = 4
AGAIN_SECONDS = 3
# At most half of the CPUs work for bcrypt, whichever worker's it is, and behind everything else that wants one: where
# all do, each of the others' steps between processes waits for a CPU.
LANES = max(1, min(len(os.sched_getaffinity(0)) // 2, ADMITTED // 2))
# One byte a lane, which whoever works in it has locked. gunicorn's master imports this module, so the workers have one
# file; the kernel takes the lock from a worker that dies.
LANES_FILE = os.memfd_create("bcrypt-lanes")

# zxcvbn's score of a password that takes more than a hundred million guesses, and of what is left of one without the
# words that anybody would try; how much of one is looked at, as its time grows with the square of the length; and how
# many different characters it has at least.
SCORE = 3
REST_SCORE = 2
JUDGED = 40
DIFFERENT = 5
# Tried first for this service, and the best known of all that zxcvbn does not know.
COMMON = frozenset({"tripod", "baremetal", "correcthorsebatterystaple"})
# zxcvbn knows the words and walks of Latin keyboards; the same keys have these letters on a Russian one.
LATIN_KEYS = str.maketrans("йцукенгшщзхъфывапролджэячсмитьбю", "qwertyuiop[]asdfghjkl;'zxcvbnm,.")

_this = threading.local()
_hashers: list[Hasher] = []


class Passwords:
    """Hashes and checks passwords at one cost.

    Args:
        rounds: Binary logarithm of the iterations.
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._nobody = bcrypt.hashpw(b"", bcrypt.gensalt(rounds)).decode()
        self._lock = threading.Lock()
        self._within: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def admission(self, address: str, account: str) -> Iterator[None]:
        """Let so many in at a time as leave threads to all others.

        Raises:
            ApiError: 429, as there are too many already.
        """
        places = _places(address, account)
        with self._lock:
            self._require_room(places)
            self._within.update(places.keys())
        try:
            yield
        finally:
            with self._lock:
                self._within.subtract(places.keys())
                self._within += Counter()

    def look_in(self, address: str, account: str) -> None:
        """Refuse as ``admission`` would, without taking a place, so that a storm costs the database no question.

        Raises:
            ApiError: 429, as there are too many already.
        """
        with self._lock:
            self._require_room(_places(address, account))

    def _require_room(self, places: Mapping[tuple[str, str], int]) -> None:
        if any(self._within[place] >= most for place, most in places.items()):
            # Not all at the same moment, who were refused together.
            seconds = 1 + secrets.randbelow(AGAIN_SECONDS)
            raise ApiError(
                429, "busy", "Too many sign-ins are being checked; try again shortly.", Retry_After=str(seconds)
            )

    def hash(self, password: str) -> str:
        """Return the hash to store; at most 72 bytes, which the schemas see to."""
        given = normal(password).encode()
        return _run(lambda hasher: hasher.hash(given, self._rounds))

    def check(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is right; without an account the work is done all the same."""
        right = False
        for form in _forms(password):
            given = form.encode()
            cut, against = given[:PASSWORD_BYTES], stored or self._nobody
            same = _run(lambda hasher: hasher.check(cut, against))  # noqa: B023
            right = right or (same and cut == given)
        return right and stored is not None


def _run(work: Callable[[Hasher], T]) -> T:
    return _lanes.submit(_in_lane, work).result()


def _places(address: str, account: str) -> dict[tuple[str, str], int]:
    return {("all", ""): ADMITTED, ("account", account): ADMITTED_ACCOUNT, ("address", address): ADMITTED_ADDRESS}


def close() -> None:
    """End the processes that hash; further work starts others."""
    for hasher in _hashers:
        hasher.close()


def normal(password: str) -> str:
    """Return the form that is hashed: what looks the same on two keyboards is the same."""
    return unicodedata.normalize("NFC", password)


def judge(password: str, words: Iterable[str]) -> None:
    """Refuse a password that is soon guessed.

    Args:
        password: Its form was checked already.
        words: What whoever guesses would try first: the account's address and name.

    Raises:
        ApiError: 422, with what is wrong.
    """
    told = COMMON | {word.lower() for text in words for word in [text, *re.split(r"[\W_]+", text)] if len(word) > 2}
    for plain in _readings(password):
        _require(zxcvbn(plain[:JUDGED], user_inputs=sorted(told)), SCORE if len(set(plain)) >= DIFFERENT else math.inf)
        # zxcvbn weighs known words lightly, and does not see that nothing else is there.
        rest = plain.lower()
        for word in sorted(told, key=len, reverse=True):
            rest = rest.replace(word, "").replace(word[::-1], "")
        if rest != plain.lower():
            _require(zxcvbn(rest[:JUDGED]) if rest else {"score": 0}, REST_SCORE)


def _require(result: dict[str, Any], score: float) -> None:
    if result["score"] >= score:
        return
    reason = result.get("feedback", {}).get("warning") or "It is soon guessed, or made of the account's own words."
    advice = "Take several words that don't belong together, or a generated one."
    raise ApiError(422, "weak_password", f"password: {reason.rstrip('.')}. {advice}")


def _readings(password: str) -> list[str]:
    """Return what whoever guesses would see in it: without accents, without what separates, on a Latin keyboard."""
    letters = unicodedata.normalize("NFKD", password)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    separators = Counter(letter for letter in plain if not letter.isalnum()).most_common(1)
    joined = plain.replace(separators[0][0], "") if separators else plain
    keys = unicodedata.normalize("NFKC", password).lower().translate(LATIN_KEYS)
    return list(dict.fromkeys((plain, joined, keys)))


def _forms(password: str) -> list[str]:
    """Return the forms in which a password may have been hashed: today's, and how it was typed in the past."""
    forms = (normal(password), password, unicodedata.normalize("NFD", password))
    return list(dict.fromkeys(forms))


def _enter(numbers: Iterator[int]) -> None:
    _this.lane = next(numbers)
    _this.hasher = Hasher()
    _hashers.append(_this.hasher)


def _in_lane(work: Callable[[Hasher], T]) -> T:
    fcntl.lockf(LANES_FILE, fcntl.LOCK_EX, 1, _this.lane)
    try:
        return work(_this.hasher)
    finally:
        fcntl.lockf(LANES_FILE, fcntl.LOCK_UN, 1, _this.lane)


# Its threads come with the first work, which is after gunicorn's fork.
_lanes = ThreadPoolExecutor(LANES, "bcrypt", initializer=_enter, initargs=(itertools.count(),))
