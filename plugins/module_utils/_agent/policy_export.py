# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What policies did, for the tools that operators have: metrics in a file, flows of drops to a collector of IPFIX.

It also keeps each ring buffer drained, so that the samples of the last moments are always there for who asks later.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from .._core.converge import Findings, Invalid
from .._core.system import Host
from .._samples import hits
from .._samples.collector import Collector
from .._samples.control import STANDING, Filter
from .._samples.flows import Flows
from .._samples.hits import Hits
from .._samples.sample import DROP_REASONS
from .._xdp.request import pin_directory
from . import export_request
from .daemon import end_on_request, single_instance
from .metrics import FILE, Family, render, replace
from .policy_feeds import Feeds, assignments
from .policy_watch import POLL, UPDATE
from .reapply import add_state_dir, path

PID_FILE = "/run/tripod-export/export.pid"
SEND = 1.0  # seconds in which packets are added up to flows
WRITE = 15.0  # seconds between two states of the metrics, as Prometheus often scrapes
MOST_FLOWS = 4096  # of all NICs in that time

log = logging.getLogger("tripod-host")


class Exporter:
    """Reads samples and counters, and tells of them.

    Args:
        host: The machine.
        directory: Where the state files are.
        rate: Samples in a second of each NIC at most.
        file: Where the metrics go.
        collector: Where flows go; None for nowhere.
    """

    def __init__(self, host: Host, directory: str, rate: int, file: str, collector: Collector | None) -> None:
        self._host, self._directory, self._file = host, directory, file
        self._collector = collector
        self._flows = Flows(MOST_FLOWS)
        requested = Filter(DROP_REASONS, DROP_REASONS, 0, rate)
        self._feeds = Feeds(host, directory, STANDING, lambda _slots: requested)
        self._update = self._send = self._write = time.monotonic()

    def run(self) -> NoReturn:
        """Export until the process ends."""
        with self._feeds:
            while True:
                self.step(time.monotonic())
                time.sleep(POLL)

    def step(self, now: float) -> None:
        """Do what is due; nothing in it waits for anybody.

        Args:
            now: Of the monotonic clock, in seconds.
        """
        if now >= self._update:
            self._update = now + UPDATE
            self._feeds.update()
        samples = self._feeds.read()
        if self._collector:
            for sample in samples:
                if sample.dropped or sample.observed:
                    self._flows.add(sample)
            if now >= self._send:
                self._send = now + SEND
                self._collector.send(self._flows.take(), time.time())
        if now >= self._write:
            self._write = now + WRITE
            replace(self._file, render([*self._of_policies(), *self._of_samples()]))

    def _of_policies(self) -> list[Family]:
        found = {}
        for name, one in assignments(self._host, self._directory).items():
            try:
                found[name] = hits.read(f"{pin_directory(one.pin_root, name)}/maps", one.slots)
            except (OSError, ValueError) as error:  # not attached, or replaced at this moment
                log.debug("%s gives no counters: %s", name, error)
        return part_families(found)

    def _of_samples(self) -> list[Family]:
        return sample_families(self._feeds.taken(), self._feeds.lost(), self._flows.left_out, self._collector)


def part_families(found: Mapping[str, Sequence[Hits]]) -> list[Family]:
    """Return the metrics of lists, rules, limits and services, by the NIC's name.

    There are five series for each part and NIC: what a policy may hold (1,662 parts) bounds them.
    """
    labelled = [
        ({"interface": name, "part": kind, "id": id_}, one)
        for name, held in sorted(found.items())
        for one in held
        for kind, _colon, id_ in [one.part.partition(":")]
    ]
    counters = {
        "packets": "Packets that a list, rule or service matched, or that exceeded a limit.",
        "bytes": "Bytes of those packets.",
        "observed_packets": "Packets that a part in observe mode would have matched, or a limit not let through.",
        "observed_bytes": "Bytes of those packets.",
    }
    last = [(labels, round(one.last, 3)) for labels, one in labelled if one.last is not None]
    return [
        *(
            Family(f"tripod_policy_{name}_total", help_text, [(labels, getattr(one, name)) for labels, one in labelled])
            for name, help_text in counters.items()
        ),
        Family(
            "tripod_policy_last_hit_timestamp_seconds", "When a part met its last packet, Unix time.", last, "gauge"
        ),
    ]


def sample_families(
    taken: Mapping[str, int], lost: Mapping[str, int], left_out: int, collector: Collector | None
) -> list[Family]:
    """Return the metrics of the exporter itself, by the NIC's name."""
    families = [
        Family(
            "tripod_samples_taken_total",
            "Samples that the program took for the exporter.",
            [({"interface": name}, number) for name, number in taken.items()],
        ),
        Family(
            "tripod_samples_lost_total",
            "Samples that found the ring buffer full, or were overwritten before they were read.",
            [({"interface": name}, number) for name, number in lost.items()],
        ),
    ]
    if collector:
        families += [
            Family("tripod_ipfix_records_total", "Flows that were sent.", [({}, collector.sent)]),
            Family("tripod_ipfix_unsent_total", "Flows that the network did not take.", [({}, collector.unsent)]),
            Family("tripod_ipfix_left_out_total", "Samples of more flows at once than are kept.", [({}, left_out)]),
        ]
    return families


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host policy export``."""
    add_state_dir(parser)
    parser.add_argument("--pid-file", default=PID_FILE, type=path, help="noted and locked while running (%(default)s)")
    export_request.add_arguments(parser)


def run(options: argparse.Namespace) -> NoReturn:
    """Export counters as metrics, and samples as flows to a collector, until SIGTERM or SIGINT.

    Raises:
        Invalid: Something cannot be exported like that; everything at once.
        Refused: Another one holds the pid file.
    """
    requested = export_request.from_options(options)
    Findings(list(requested.faults())).raise_if_any(Invalid, "nothing is exported")
    end_on_request()
    collector = Collector(requested.collector, requested.port, requested.domain) if requested.collector else None
    with single_instance(options.pid_file, options.version):
        file = os.path.join(os.path.dirname(options.pid_file), FILE)
        Exporter(Host(), options.state_dir, requested.rate, file, collector).run()
