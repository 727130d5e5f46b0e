# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""NICs that are made anew get their XDP program back at once, whatever else the watch is doing.

From its first moment a new NIC delivers what blocked sources send. So this thread waits for nothing: neither for the
news to end, nor for a check that takes seconds, nor for whoever changes other things on the host. The watch checks
the whole of the NIC afterwards.
"""

from __future__ import annotations

import logging
import threading
import time

from .._core import lock, state_store
from .._core.converge import CoreError
from .._core.system import Host
from .._linux import netlink
from .._xdp import policy_resource, policy_takeover, program, request
from .._xdp.reattach import reattach
from .links import Links, News, Overrun, Socket
from .metrics import Metrics
from .reapply import reapply

_TICK = 1.0  # seconds until the end of the process is noticed

log = logging.getLogger("tripod-host")


class Appearances:
    """Attaches saved programs to links that appear.

    Args:
        host: The machine.
        directory: Where the state files are.
        metrics: Where it is counted.
    """

    def __init__(self, host: Host, directory: str, metrics: Metrics) -> None:
        self._host, self._directory, self._metrics = host, directory, metrics

    def run(self, ended: threading.Event) -> None:
        """Watch until the end; for a thread of its own."""
        while not ended.is_set():
            try:
                self._watch(ended)
            except Overrun:
                # Whoever appeared meanwhile is among them.
                self._attend([link.name for link in netlink.links()])
            except Exception:
                # Whatever it is, the next NIC still has to be seen to.
                log.exception("links that appear cannot be watched; trying again")
                ended.wait(_TICK)

    def _watch(self, ended: threading.Event) -> None:
        with Socket() as socket_:
            links = Links()
            for link in netlink.links():
                links.observe(News(link.index, link.name, link.up))
            while not ended.is_set():
                appeared = [
                    news.name
                    for news in socket_.wait(_TICK)
                    # One that comes up is the watch's; a new name can be the one that a program is saved for.
                    if (links.observe(news) or "came up") != "came up"
                ]
                self._attend(appeared)

    def _attend(self, names: list[str]) -> None:
        for name in dict.fromkeys(names):
            state_file = state_store.load(self._host, request.state_file(name), self._directory)
            if state_file and state_file.kind == request.KIND:
                self._attach(name, state_file)

    def _attach(self, name: str, state_file: state_store.StateFile) -> None:
        begin = time.monotonic()
        try:
            done = reattach(state_file.body, self._host) or self._load(name)
        except (CoreError, OSError, KeyError, TypeError) as error:
            # The NIC may need its settings first; the watch brings both, in their order.
            log.info("%s: its program cannot be attached at once (%s)", name, error)
            return
        if done:
            log.info("%s appeared: its program was attached %.0f ms after the news", name, elapsed_ms(begin))
            self._metrics.count("reattached", name)

    def _load(self, name: str) -> bool:
        """Go the whole way for programs and policies alone, where nothing is pinned or it is not what was loaded."""
        with lock.attempt(self._host) as alone:
            if not alone:
                return False
            kinds = (program.KIND, policy_resource.KIND, policy_takeover.KIND)
            results = reapply(self._host, self._directory, kinds=kinds, only={name})
        return any(result.changes for result in results if result.kind == program.KIND and not result.error)


def elapsed_ms(begin: float) -> float:
    """Return the milliseconds since a time of the monotonic clock."""
    return (time.monotonic() - begin) * 1000
