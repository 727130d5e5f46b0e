"""Containers that are made only for the files of their images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .run import as_root, logged


@contextlib.contextmanager
def of_image(log: str, image: str) -> Iterator[str]:
    """Yield a container of an image, which is never started, and remove it at the end.

    Args:
        log: The log's name.
        image: Its name.
    """
    docker = [*as_root(), "docker"]
    made = logged(log, [*docker, "create", image], append=True).split()[-1]
    try:
        yield made
    finally:
        logged(log, [*docker, "rm", made], append=True)


def take(log: str, image: str, path: str, target: Path) -> None:
    """Copy a file, or a directory and what is in it, out of an image.

    Args:
        log: The log's name.
        image: Its name.
        path: In it.
        target: Where it goes; the parent has to be there.
    """
    with of_image(log, image) as made:
        logged(log, [*as_root(), "docker", "cp", f"{made}:{path}", target], append=True)
