# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""When the certificates of this host's services end, as PostgreSQL and nginx do not say it themselves."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from datetime import datetime, timezone

from .._core.system import Host
from .metrics import Family

SECRETS = "secrets"  # below the directory of the configuration, with a directory for each service
# The operator's own, to which the role nginx makes a link, before what the site's authority issued.
FILES = ("given.crt", "tls.crt")

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


def families(host: Host, directory: str) -> list[Family]:
    """Return the metric of the certificates, by service.

    Args:
        host: The machine.
        directory: Of the configuration, such as ``/etc/tripod``.
    """
    found = []
    for service, text in _texts(host, os.path.join(directory, SECRETS)):
        try:
            end = not_after(text)
        except ValueError:
            end = 0  # an alarm that looks for what ends soon is to see it, too
        found.append(({"service": service}, float(end)))
    help_text = "When the certificate of a service ends, Unix time; 0 where its file holds none."
    return [Family("tripod_watch_certificate_not_after_timestamp_seconds", help_text, found, "gauge")]


def _texts(host: Host, directory: str) -> Iterator[tuple[str, str]]:
    for service in host.list(directory):
        for name in FILES:
            path = os.path.join(directory, service, name)
            try:
                text = host.read(path)
            except OSError:
                text = ""
            if text is not None or host.link(path):
                yield service, text or ""
                break


def not_after(text: str) -> int:
    """Return when the first certificate of a file in PEM ends, in seconds since 1970.

    Source: RFC 5280, section 4.1; the encoding is X.690's.

    Raises:
        ValueError: There is none.
    """
    found = _PEM.search(text)
    if not found:
        raise ValueError("no certificate in PEM")
    try:
        data = base64.b64decode("".join(found[1].split()), validate=True)
        # Certificate, and in it what was signed: its version, its number, the algorithm, the issuer, and the validity.
        fields = _members(*_expect(*next(_members(data, 0, len(data))), _SEQUENCE))
        parts = [one for one in _members(*_expect(*next(fields), _SEQUENCE)) if one[0] != _VERSION]
        _begin, end = _members(*_expect(*parts[3], _SEQUENCE))
        return _moment(*end)
    except (binascii.Error, IndexError, StopIteration) as error:
        raise ValueError("the certificate is cut off, or none") from error


def _members(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield each value between two places: its tag, all of the data, and where its content begins and ends."""
    while at < end:
        tag, length, at = data[at], data[at + 1], at + 2
        if length > 0x80:
            length, at = int.from_bytes(data[at : at + (length & 0x7F)], "big"), at + (length & 0x7F)
        if at + length > end:
            raise ValueError("a value is longer than what holds it")
        yield tag, data, at, at + length
        at += length


def _expect(tag: int, data: bytes, at: int, end: int, expected: int) -> tuple[bytes, int, int]:
    if tag != expected:
        raise ValueError(f"tag {tag:#x}, expected {expected:#x}")
    return data, at, end


def _moment(tag: int, data: bytes, at: int, end: int) -> int:
    text = data[at:end].decode("ascii")
    if tag == _UTC_TIME:
        # Section 4.1.2.5.1: two digits of the year, from 1950 on.
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"tag {tag:#x} is no time")
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp())
