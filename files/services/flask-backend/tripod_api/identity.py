"""Who this service is and whom it trusts: certificates in a directory, read again when they change."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

AUTHORITY, CERTIFICATE, KEY = FILES = ("ca.crt", "tls.crt", "tls.key")
# Of a handshake in TLS 1.3: each side speaks twice.
TURNS = 4


class Unusable(Exception):
    """The certificates are missing, or do not fit together; the message says which and why."""


@dataclass(frozen=True)
class Held:
    """What the files held when they last fitted together.

    Attributes:
        authority: PEM of all who are trusted.
        certificate: PEM of the service's own.
        key: PEM of its key.
        own_ends: When its certificate ends (Unix time).
        authority_ends: When the first one of those it trusts ends (Unix time): of two, as during a rotation, what the
            older one issued ends with it.
        server: What a server of this service answers with; it asks nobody for a certificate.
    """

    authority: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    own_ends: float
    authority_ends: float
    server: ssl.SSLContext = field(repr=False, compare=False)

    def credentials(self) -> grpc.ChannelCredentials:
        """Return what a gRPC client connects with."""
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)


class Identity(Collector):
    """The files of one directory.

    Args:
        directory: Holds FILES.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[int, int], ...] | None = None
        self._held: Held | None = None
        self._problem = ""

    def held(self) -> Held:
        """Return what the files hold, the same object for as long as they do not change.

        While they do not fit together, as in the moment between two of them being written, it is what they held before.

        Raises:
            Unusable: They never did.
        """
        with self._lock:
            stamp = self._look()
            if self._held is not None and stamp == self._stamp:
                return self._held
            try:
                held = self._read(stamp)
            except Unusable as error:
                if self._held is None:
                    raise
                if str(error) != self._problem:
                    self._problem = str(error)
                    logger.error(  # noqa: TRY400  (a traceback says no more than the message)
                        "certificates cannot be used, going on with those from before: %s", error
                    )
                return self._held
            self._stamp, self._held, self._problem = stamp, held, ""
            return held

    def collect(self) -> Iterable[Metric]:
        """Give Prometheus' client the days on which certificates end."""
        ends = GaugeMetricFamily(
            "tripod_certificate_not_after_timestamp_seconds",
            "When the certificate of this service ends (own), and the first one of those it trusts (authority).",
            labels=["certificate"],
        )
        try:
            held = self.held()
        except Unusable:
            return (ends,)
        ends.add_metric(["own"], held.own_ends)
        ends.add_metric(["authority"], held.authority_ends)
        return (ends,)

    def _look(self) -> tuple[tuple[int, int], ...]:
        found = []
        for name in FILES:
            try:
                status = (self._directory / name).stat()
                found.append((status.st_mtime_ns, status.st_size))
            except OSError:
                found.append((0, 0))
        return tuple(found)

    def _read(self, stamp: tuple[tuple[int, int], ...]) -> Held:
        authority, certificate, key = (self._directory / name for name in FILES)
        try:
            texts = [path.read_bytes() for path in (authority, certificate, key)]
        except OSError as error:
            raise Unusable(f"{error.filename}: {error.strerror}") from None
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        server.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            client.load_verify_locations(authority)
        except ssl.SSLError:
            raise Unusable(f"{authority} holds no certificate") from None
        try:
            server.load_cert_chain(certificate, key)
            own = _handshake(client, server)
        except ssl.SSLCertVerificationError as error:
            raise Unusable(f"{certificate}: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise Unusable(f"{certificate}: {error.reason or error}") from None
        if stamp != self._look():
            raise Unusable(f"{self._directory} is being written to")
        authority_ends = min(map(_ends, client.get_ca_certs()), default=0)
        return Held(texts[0], texts[1], texts[2], _ends(own), authority_ends, server)


def _ends(certificate: Mapping[str, Any]) -> float:
    return ssl.cert_time_to_seconds(certificate["notAfter"])


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, Any]:
    """Return what a client that trusts what this service trusts reads in its certificate, as it finds it good."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, answering = client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)
    for turn in range(TURNS):
        try:
            (answering if turn % 2 else asking).do_handshake()
        except ssl.SSLWantReadError:
            continue
    return dict(asking.getpeercert() or {})
