"""Requests that no HTTP client would send get an answer that any can read, and never a 500."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Cluster
from service import Service
from wire import chunked, connect, error_code, parse, receive, say

from tripod_api.config import BODY_BYTES
from tripod_api.worker import LINGER_SECONDS

LOGIN = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = LOGIN + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
WRONG = json.dumps({"email": "nobody@example.com", "password": "wrong"}).encode()


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    address = cluster.create_database()
    found = Service(address, tmp_path_factory.mktemp("service"))
    try:
        found.wait(found.ready)
        yield found
    finally:
        found.kill()
        cluster.drop_database(address)


def test_a_body_over_the_limit_is_refused_however_it_is_framed(service: Service) -> None:
    large = b'{"email": "a@example.com", "password": "' + b" " * BODY_BYTES + b'"}'
    for request in (
        CHUNKED + chunked([large]),
        CHUNKED + chunked([large[at : at + 1000] for at in range(0, len(large), 1000)]),
        CHUNKED + b"%x\r\n" % (1 << 40),
        CHUNKED + b"1;" + b"x" * 2000 + b"\r\na\r\n" + (b"1;" + b"x" * 2000 + b"\r\na\r\n") * 400,
        LOGIN + b"Content-Length: %d\r\n\r\n" % len(large) + large,
        LOGIN + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(large),
    ):
        answer = say(service.port, request)
        assert answer[0] == 413, answer
        assert error_code(answer) == "request_entity_too_large"


def test_a_whole_body_is_served_however_it_comes(service: Service) -> None:
    last = LOGIN + b"Connection: close\r\n"
    for pieces in (
        [CHUNKED + chunked([WRONG])],
        [CHUNKED, *[b"1\r\n%c\r\n" % byte for byte in WRONG], b"0\r\n\r\n"],
        [CHUNKED, chunked([WRONG])[:-2], b"X-Trailer: 1\r\n\r\n"],
        [bytes([byte]) for byte in last + b"Content-Length: %d\r\n\r\n" % len(WRONG) + WRONG],
        [last + b"Content-Length: %d\r\n" % len(WRONG), b"\r\n", WRONG],
    ):
        assert error_code(say(service.port, *pieces)) in {"invalid_credentials", "busy", "too_many_attempts"}


def test_a_client_that_waits_for_100_gets_it_once(service: Service) -> None:
    with connect(service.port) as client:
        client.sendall(LOGIN + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(WRONG))
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(WRONG)
        assert parse(receive(client))[0] in {401, 429}


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (CHUNKED + b"5\nhello\n0\n\n", 400),
        (CHUNKED + b"5\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"1_0\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n", 400),
        (CHUNKED + b"5\r\nhelloXX0\r\n\r\n", 400),
        (CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
        (CHUNKED + b"0\r\nbad trailer\r\n\r\n", 400),
        (CHUNKED + b"\r\n", 400),
        (CHUNKED + b"1" * 9000, 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /api/v1/status HTTP/1.0\r\n\r\n", 200),
        (b"GET /api/v1/auth/me HTTP/1.0\r\n\r\n", 401),
        (b"GET /nowhere HTTP/1.0\r\n\r\n", 404),
        (b"GET /api/v1/users/ HTTP/1.0\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.0\r\nHost:\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /api/v1/status HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /api/v1/status HTTP/1.1\r\nHost: \xff\xfe:x\r\nConnection: close\r\n\r\n", None),
        (b"GET /api/v1/status HTTP/1.1\r\nHost: a b<>:99999\r\nConnection: close\r\n\r\n", None),
        (b"GET /api/v1/status?\xff=%ff HTTP/1.0\r\n\r\n", None),
        (b"GET /api/v1/users/%00%ff HTTP/1.0\r\n\r\n", None),
        (b"GET http://[/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", None),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", None),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", None),
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n bad folding\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70000, 431),
        (LOGIN + b"Content-Length: -1\r\n\r\n", 400),
        (LOGIN + b"Content-Length: 5, 5\r\n\r\nhello", 400),
        (LOGIN + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (LOGIN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (LOGIN + b"Transfer-Encoding: gzip\r\n\r\n", None),
        (LOGIN + b"Expect: a miracle\r\nContent-Length: 0\r\n\r\n", 417),
        (b"POST /api/v1/auth/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
def test_what_is_malformed_is_the_callers_fault(service: Service, request_bytes: bytes, status: int | None) -> None:
    answer = say(service.port, request_bytes)
    assert answer[0] in {status} if status else 200 <= answer[0] < 500 or answer[0] == 501, answer
    if answer[0] >= 400:
        error_code(answer)
        assert answer[1]["X-Content-Type-Options"] == "nosniff"
    assert service("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"?why=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b" HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70000, 431),
        (b" HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417),
        (b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: rot13, chunked\r\n\r\n0\r\n\r\n", 501),
        (b" HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n", 413),
        (b" HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_the_server_answers_by_itself_is_in_the_document_of_every_operation(
    service: Service, rest: bytes, status: int
) -> None:
    paths = service("GET", "/api/v1/openapi.json")[1]["paths"]
    told = [operation["responses"] for path in paths.values() for operation in path.values()]
    assert told
    assert all(str(status) in responses for responses in told)
    assert say(service.port, b"DELETE /api/v1/limits/edge/web" + rest)[0] == status


def test_many_requests_in_one_piece_are_each_answered(service: Service) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    other = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
    with connect(service.port) as client:
        client.sendall((one * 40 + other) * 10 + one[:-2] + b"Connection: close\r\n\r\n")
        answers = receive(client)
    assert answers.count(b"HTTP/1.1 200") == 401
    assert answers.count(b"HTTP/1.1 404") == 10


def test_a_connection_is_kept_and_its_next_request_may_come_in_pieces(service: Service) -> None:
    with connect(service.port) as client:
        for _ in range(3):
            for piece in (b"GET /api/v1/st", b"atus HTTP/1.1\r\nHo", b"st: a\r\n\r\n"):
                client.sendall(piece)
                time.sleep(0.05)
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (LOGIN + b"Content-Length: 2\r\n\r\n{}", b"422"),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n" + chunked([b"{", b"}"]), b"422"),
    ],
)
def test_the_next_request_begins_where_one_ends_wherever_pieces_part(
    service: Service, first: bytes, status: bytes
) -> None:
    whole = first + b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    for cut in range(1, len(whole), 2):
        with connect(service.port) as client:
            for piece in (whole[:cut], whole[cut:]):
                client.sendall(piece)
                time.sleep(0.002)
            answers = [line.split()[1] for line in receive(client).splitlines() if line.startswith(b"HTTP/1.1 ")]
        assert answers == [status, b"200"], (cut, answers)


def test_a_client_that_never_closes_stops_nobody(service: Service) -> None:
    """The loop must not wait for the other side's end of a connection."""
    held: list[socket.socket] = []
    try:
        for _ in range(12):
            client = connect(service.port)
            client.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            held.append(client)
        began = time.monotonic()
        assert {service("GET", "/healthz")[0] for _ in range(10)} == {200}
        assert time.monotonic() - began < len(held) * LINGER_SECONDS / 2
    finally:
        for client in held:
            client.close()


def test_no_file_is_left_behind(service: Service) -> None:
    assert not list(Path(service.log.parent).rglob("*.db"))
