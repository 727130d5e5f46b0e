"""The counters of the last minutes, so that who opens a chart finds one.

Each worker reads for itself: it answers without the other one, and go-backend's time in each reading lets a client put
readings of both in one row.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

from .dataplane import Dataplane
from .errors import ApiError

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 300.0
# Clients take readings up to 5 s apart for neighbours.
EVERY_SECONDS = 3.0


class History:
    """What the data plane's counters were, read in the background.

    Args:
        dataplane: Whom to ask.
        every: Between two readings (seconds).
    """

    def __init__(self, dataplane: Dataplane, every: float = EVERY_SECONDS) -> None:
        self._dataplane = dataplane
        self._every = every
        self._readings: deque[dict[str, Any]] = deque(maxlen=int(WINDOW_SECONDS / every))

    def start(self) -> None:
        """Begin to read; after gunicorn's fork, as threads do not survive one."""
        threading.Thread(target=self._run, name="history", daemon=True).start()

    def readings(self) -> list[dict[str, Any]]:
        """Return what was read, the oldest first."""
        return list(self._readings)

    def read(self) -> None:
        """Add one reading; while go-backend does not answer there is none."""
        try:
            reading = self._dataplane.stats()
        except ApiError:
            return
        for interface in reading["interfaces"]:
            # Most of them never move, and a counter that is not there was 0.
            interface["counters"] = [each for each in interface["counters"] if each["packets"] or each["bytes"]]
        self._readings.append(reading)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self.read()
            except Exception:
                # A reading that nobody foresaw must not end all those to come.
                logger.exception("the counters could not be read")
            pause.wait(self._every)
