"""TLS of the running service: real handshakes, on the port that serves plain HTTP too."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority, put
from service import Service
from wire import PROBLEM, receive

from tripod_api.config import BODY_BYTES, Database
from tripod_api.identity import AUTHORITY, CERTIFICATE

NAME = "flask-backend"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(home: Path) -> Authority:
    return Authority(home)


@pytest.fixture(scope="module")
def service(home: Path, authority: Authority) -> Iterator[Service]:
    directory = authority.issue(home / "own", NAME)
    found = Service(Database("sqlite", str(home / "tripod.db")), home, TLS_DIRECTORY=str(directory))
    try:
        found.wait(found.ready)
        yield found
    finally:
        found.kill()


@pytest.fixture
def secure(service: Service, home: Path) -> Callable[[], ssl.SSLSocket]:
    def dial(trusted: Path = home / "own" / AUTHORITY, name: str = NAME) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=trusted)
        found = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(found, server_hostname=name)

    return dial


class Secure(http.client.HTTPConnection):
    """An HTTP client on a connection that is there already."""

    def __init__(self, line: ssl.SSLSocket) -> None:
        super().__init__("api")
        self.sock = line


def test_the_port_speaks_tls_and_plain_http(service: Service, secure: Callable[..., ssl.SSLSocket]) -> None:
    with secure() as line:
        assert line.version() == "TLSv1.3"
        client = Secure(line)
        # One connection, requests that the loop answers and such that a thread does, one after the other.
        for path in ("/healthz", "/api/v1/status", "/readyz", "/api/v1/openapi.json"):
            client.request("GET", path)
            answer = client.getresponse()
            assert (answer.status, len(answer.read()) > 10) == (200, True)
    assert service("GET", "/healthz")[0] == 200
    assert service("GET", "/api/v1/status")[0] == 200


def test_a_connection_ends_with_a_word_and_not_with_a_cut(secure: Callable[..., ssl.SSLSocket]) -> None:
    line = secure()
    line.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    pieces = b""
    # A cut would raise here, as the context asks for the word.
    line.suppress_ragged_eofs = False
    while piece := line.recv(65536):
        pieces += piece
    assert pieces.startswith(b"HTTP/1.1 200")
    line.close()


def test_requests_come_in_pieces_and_too_large_ones_are_refused_within_tls(
    secure: Callable[..., ssl.SSLSocket],
) -> None:
    login = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with secure() as line:
        for piece in (login, b"Content-Length: 2\r\n\r\n", b"{", b"}"):
            line.sendall(piece)
            time.sleep(0.05)
        assert receive(line).startswith(b"HTTP/1.1 422")
    for framing in (b"Content-Length: %d\r\n\r\n" % (BODY_BYTES + 1), b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
        with secure() as line:
            line.sendall(login + framing)
            answer = receive(line)
            assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400")), answer
            assert all(f'"{word}"'.encode() in answer for word in PROBLEM)


def test_who_stops_within_a_handshake_holds_nobody(service: Service, secure: Callable[..., ssl.SSLSocket]) -> None:
    held = []
    try:
        for first in (b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00" + b"\x00" * 512):
            line = socket.create_connection(("127.0.0.1", service.port))
            line.sendall(first)
            held.append(line)
        # A worker that waited for one of them would answer nobody.
        for _ in range(10):
            with secure() as line:
                line.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                assert receive(line).startswith(b"HTTP/1.0 200")
    finally:
        for line in held:
            line.close()


def test_another_authority_and_another_name_are_refused_by_the_client(
    home: Path, secure: Callable[..., ssl.SSLSocket]
) -> None:
    stranger = Authority(home).issue(home / "stranger", NAME)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get|self.signed"):
        secure(trusted=stranger / AUTHORITY)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        secure(name="postgres")


def test_a_renewal_under_load_fails_no_request(
    home: Path, authority: Authority, service: Service, secure: Callable[..., ssl.SSLSocket]
) -> None:
    outcomes: Counter[str] = Counter()
    seen = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                with secure() as line:
                    seen.add(line.getpeercert(binary_form=True))
                    line.sendall(b"GET /api/v1/status HTTP/1.0\r\n\r\n")
                    outcomes[receive(line)[:12].decode()] += 1
            except OSError as error:
                outcomes[repr(error)] += 1

    kept = secure()
    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for renewals in range(3):
            service.wait(lambda: len(seen) > renewals, 60)  # noqa: B023  (it is called within the turn)
            authority.issue(home / "own", NAME)
        service.wait(lambda: len(seen) == 4, 60)
        put(home / "own" / CERTIFICATE, "no PEM")
        service.wait(lambda: "certificates cannot be used" in service.log.read_text(), 60)
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert set(outcomes) == {"HTTP/1.0 200"}, outcomes
    kept.sendall(b"GET /api/v1/status HTTP/1.0\r\n\r\n")
    assert receive(kept).startswith(b"HTTP/1.0 200")
    kept.close()
    authority.issue(home / "own", NAME)
