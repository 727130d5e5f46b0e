"""What goes on beside a test: work in threads until a block ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_threads(work: Callable[[threading.Event], None], number: int = 1) -> Iterator[None]:
    """Have as many threads do the work, each with an event that is set once the block is over."""
    over = threading.Event()
    threads = [threading.Thread(target=work, args=(over,)) for _number in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
