"""What the operator sees: one line when a step begins, one when it ends, and errors that say the way out."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

_lock = threading.Lock()


class Failure(Exception):
    """An error for the operator; the text says what failed, where, and the way out."""


def say(text: str) -> None:
    """Print one line, whole, whichever thread speaks."""
    with _lock:
        print(text, flush=True)


def duration(seconds: float) -> str:
    """Return ``4.2 s`` or ``3 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


@contextlib.contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Announce a step, time it, and say how it ended.

    Yields:
        A function that takes the words for the closing line, e.g. ``31 packages``.
    """
    started = time.monotonic()
    words = ["done"]
    say(f"==> {title}")
    try:
        yield lambda text: words.__setitem__(0, text)
    except BaseException:
        say(f"    failed after {duration(time.monotonic() - started)}")
        raise
    say(f"    {words[0]} ({duration(time.monotonic() - started)})")


def guarded(main: Callable[[], int]) -> None:
    """Run a command's main function; a Failure ends it with its text and status 1, Ctrl-C with 130."""
    try:
        sys.exit(main())
    except Failure as failure:
        with _lock:
            print(f"error: {failure}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
