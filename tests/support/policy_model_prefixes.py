"""Prefixes of the reference model: all lengths that there are, the longest first."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator


class Prefixes:
    """What prefixes stand for, by the longest one that holds an address."""

    def __init__(self) -> None:
        # By family, bits that do not matter, bits that do.
        self._lengths: dict[int, dict[int, dict[int, list[int]]]] = {4: {}, 6: {}}

    def add(self, text: str, value: int) -> None:
        """Let a prefix stand for one thing more; lower values come first."""
        network = ipaddress.ip_network(text)
        lengths, bits = self._lengths[network.version], network.max_prefixlen - network.prefixlen
        if bits not in lengths:
            lengths[bits] = {}
            self._lengths[network.version] = dict(sorted(lengths.items()))
        values = lengths[bits].setdefault(int(network.network_address) >> bits, [])
        values.append(value)
        values.sort()

    def find(self, family: int, address: int) -> Iterator[int]:
        """Yield what an address stands for, in the order in which it decides."""
        for bits, of_length in self._lengths[family].items():
            yield from of_length.get(address >> bits, ())

    def holds(self, family: int, address: int) -> bool:
        """Return whether any prefix holds an address."""
        return any(address >> bits in of_length for bits, of_length in self._lengths[family].items())
