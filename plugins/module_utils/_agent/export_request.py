# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of the exporter, by a playbook and on its command line alike."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from .._samples.collector import PORT

MOST_SAMPLES = 20_000  # in a second: the ring holds what comes in 150 ms then, and readers look every 100
_PORTS, _DOMAINS = 1 << 16, 1 << 32


@dataclass(frozen=True)
class Export:
    """What is exported of policies.

    Attributes:
        rate: Samples in a second of each NIC at most.
        collector: Address of a collector of IPFIX; "" for none.
        port: Its UDP port.
        domain: IPFIX observation domain that this host is; 0 for none.
    """

    rate: int = 100
    collector: str = ""
    port: int = PORT
    domain: int = 0

    @property
    def arguments(self) -> tuple[str, ...]:
        """It as words for ``tripod-host policy export``."""
        rate = ("--rate", str(self.rate))
        if not self.collector:
            return rate
        return (*rate, "--ipfix", self.collector, "--ipfix-port", str(self.port), "--ipfix-domain", str(self.domain))

    def faults(self) -> Iterator[str]:
        """Yield what cannot be, with the limit and the way out."""
        if not 0 < self.rate <= MOST_SAMPLES:
            yield f"{self.rate} samples in a second: give a number from 1 to {MOST_SAMPLES}"
        if not 0 < self.port < _PORTS:
            yield f"IPFIX port {self.port}: give a number from 1 to {_PORTS - 1}"
        if not 0 <= self.domain < _DOMAINS:
            yield f"IPFIX observation domain {self.domain}: give a number from 0 to {_DOMAINS - 1}"
        try:
            ipaddress.ip_address(self.collector or "::")
        except ValueError:
            yield (
                f"IPFIX collector {self.collector!r} is no IP address, and nobody waits for a name to be looked up: "
                "give the collector's address, and its port apart from it"
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare options that ``from_options`` reads."""
    given = Export()
    parser.add_argument(
        "--rate", default=given.rate, type=int, help="samples in a second of each NIC at most (%(default)s)"
    )
    parser.add_argument("--ipfix", default=given.collector, metavar="ADDRESS", help="collector of IPFIX, by UDP")
    parser.add_argument("--ipfix-port", default=given.port, type=int, help="its port (%(default)s)")
    parser.add_argument(
        "--ipfix-domain", default=given.domain, type=int, help="observation domain that this host is (0: none)"
    )


def from_options(options: argparse.Namespace) -> Export:
    """Return what was requested on the command line."""
    return Export(options.rate, options.ipfix, options.ipfix_port, options.ipfix_domain)
