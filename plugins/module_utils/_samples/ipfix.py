# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Flows as IPFIX messages.

All elements are of IANA's registry, so that any collector reads them: firewallEvent says denied or, for what is only
observed, alert; forwardingStatus why; selectorName which reason and which part, as ``rule_drop rule:no-snmp``. A reason
as a number of our own would need an enterprise number, and collectors that know it.

Source: RFC 7011 (messages), https://www.iana.org/assignments/ipfix (elements), RFC 7270 (forwardingStatus).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from .flows import Flow

_VERSION, _TEMPLATES = 10, 2  # of the protocol; number of the set that holds templates
_MESSAGE, _SET, _FIELD = struct.Struct("!HHIII"), struct.Struct("!HH"), struct.Struct("!HH")
_VARIABLE = 0xFFFF
_LONGEST_TEXT = 254  # whose length fits one byte
_DENIED, _ALERT = 3, 4  # firewallEvent
_FORWARDED, _DROPPED, _DROPPED_BY_ACL, _DROPPED_BY_POLICER = 64, 128, 130, 138  # forwardingStatus
_STATUS = {"limit": _DROPPED_BY_POLICER, "malformed": _DROPPED}

# Element and bytes: flowStartMilliseconds, flowEndMilliseconds, ingressInterface, vlanId, packetDeltaCount,
# octetDeltaCount, firewallEvent, forwardingStatus; then interfaceName and selectorName.
_COMMON = ((152, 8), (153, 8), (10, 4), (58, 2), (2, 8), (1, 8), (233, 1), (89, 1), (82, _VARIABLE), (335, _VARIABLE))
_COMMON_VALUES = struct.Struct("!QQIHQQBB")
# protocolIdentifier, sourceTransportPort, destinationTransportPort, tcpControlBits.
_TRANSPORT = ((4, 1), (7, 2), (11, 2), (6, 2))
_TRANSPORT_VALUES = struct.Struct("!BHHH")
# sourceIPv4Address, destinationIPv4Address, icmpTypeCodeIPv4; the same of IPv6; without a readable IP header
# destinationMacAddress, sourceMacAddress, ethernetType.
_IPV4 = ((8, 4), (12, 4), *_TRANSPORT, (32, 2), *_COMMON)
_IPV6 = ((27, 16), (28, 16), *_TRANSPORT, (139, 2), *_COMMON)
_OTHER = ((80, 6), (56, 6), (256, 2), *_COMMON)
TEMPLATES = {256: _IPV4, 257: _IPV6, 258: _OTHER}
_TEMPLATE_OF = {4: 256, 6: 257, 0: 258}


class Encoder:
    """Makes messages of one observation domain.

    Args:
        domain: Its number.

    Attributes:
        sequence: Records in the messages so far. One that could not be sent counts too, so a collector sees it missing.
    """

    def __init__(self, domain: int) -> None:
        self._domain = domain
        self.sequence = 0

    def messages(self, flows: Iterable[Flow], now: int, templates: bool, size: int) -> Iterator[tuple[bytes, int]]:
        """Return messages with all flows, each with the number of its records.

        Args:
            flows: What to tell of.
            now: Unix time in seconds.
            templates: Whether to begin with the templates, which are sent even where there is no flow.
            size: Bytes that a message may have, at least 512.
        """
        sets: list[bytes] = [_template_set()] if templates else []
        count, room = 0, size - _MESSAGE.size - sum(map(len, sets))
        before = None  # template of the last set
        for flow in flows:
            template, record = _record(flow)
            needed = len(record) + (0 if template == before else _SET.size)
            if needed > room:
                yield self._message(sets, count, now)
                sets, count, room, before = [], 0, size - _MESSAGE.size, None
                needed = len(record) + _SET.size
            if template == before:
                sets[-1] += record
            else:
                sets.append(_SET.pack(template, 0) + record)
            count, room, before = count + 1, room - needed, template
        if sets:
            yield self._message(sets, count, now)

    def _message(self, sets: Sequence[bytes], count: int, now: int) -> tuple[bytes, int]:
        body = b"".join(one[:2] + struct.pack("!H", len(one)) + one[4:] for one in sets)
        length = _MESSAGE.size + len(body)
        header = _MESSAGE.pack(_VERSION, length, now & 0xFFFFFFFF, self.sequence & 0xFFFFFFFF, self._domain)
        self.sequence += count
        return header + body, count


def _template_set() -> bytes:
    body = b"".join(
        _FIELD.pack(number, len(fields)) + b"".join(_FIELD.pack(*field) for field in fields)
        for number, fields in TEMPLATES.items()
    )
    return _SET.pack(_TEMPLATES, 0) + body


def _record(flow: Flow) -> tuple[int, bytes]:
    """Return a flow's template and its values."""
    key, headers = flow.key, flow.key.headers
    if headers.source is None or headers.destination is None:
        values = key.ethernet.ljust(12, b"\0") + struct.pack("!H", headers.ethertype or 0)
    else:
        transport = _TRANSPORT_VALUES.pack(
            headers.protocol or 0, headers.source_port or 0, headers.destination_port or 0, flow.tcp_flags
        )
        values = headers.source + headers.destination + transport + struct.pack("!H", headers.icmp or 0)
    values += _COMMON_VALUES.pack(
        flow.start // 1_000_000,
        flow.end // 1_000_000,
        key.ifindex,
        headers.vlan or 0,
        flow.packets,
        flow.octets,
        _DENIED if key.dropped else _ALERT,
        _STATUS.get(key.reason, _DROPPED_BY_ACL) if key.dropped else _FORWARDED,
    )
    return _TEMPLATE_OF[headers.version], values + _text(key.interface) + _text(f"{key.reason} {key.part}".rstrip())


def _text(text: str) -> bytes:
    # A character that would be cut in two is left out.
    value = text.encode()[:_LONGEST_TEXT].decode(errors="ignore").encode()
    return bytes((len(value),)) + value
