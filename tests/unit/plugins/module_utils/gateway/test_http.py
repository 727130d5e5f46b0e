"""One request at a time, in time, and no secret in any word."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.http import Http, Reply, Unanswered

from tests.support.marchproxy.client import real_server
from tests.support.marchproxy.serving import Answer, served


@pytest.fixture
def server():
    with served(real_server()) as server:
        yield server


def test_each_request_has_a_connection_of_its_own(server):
    """3.6: the server drops one after an error, and the next request on it would fail."""
    http = Http(server.url)
    for _time in range(3):
        assert http.send("GET", "/api/openapi.json").status == 200
    assert len({request.port for request in server.log}) == 3
    assert {request.headers["Connection"] for request in server.log} == {"close"}
    assert http.requests == 3


def test_an_error_does_not_spoil_the_next_request(server):
    """3.6."""
    http = Http(server.url)
    server.fault = lambda number, request: "fail" if number == 1 else None
    assert [http.send("GET", "/api/openapi.json").status for _time in range(2)] == [500, 200]


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_dropped_connection_is_no_answer(server, fault):
    server.fault = lambda number, request: fault
    with pytest.raises(Unanswered, match="the connection was dropped without an answer"):
        Http(server.url).send("GET", "/api/openapi.json")


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unanswered, match=f"GET /x: 127.0.0.1:{port}: Connection refused"):
        Http(f"http://127.0.0.1:{port}").send("GET", "/x")


def test_a_late_answer_is_none(server):
    """3.7: a server that stands still."""
    server.fault = lambda number, request: 5.0
    began = time.monotonic()
    with pytest.raises(Unanswered, match=r"no whole answer within 0\.5 s"):
        Http(server.url, request_seconds=0.5).send("GET", "/api/openapi.json")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_an_answer_that_trickles_ends_in_time_all_the_same(head):
    """Each byte comes soon after the last one, and the whole never."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = threading.Event()

        def trickle():
            connection, _address = listening.accept()
            with connection:
                connection.sendall(head)
                while not done.wait(0.05):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(Unanswered, match=r"no whole answer within 0\.5 s"):
            Http(f"http://127.0.0.1:{listening.getsockname()[1]}", request_seconds=0.5).send("GET", "/x")
        assert time.monotonic() - began < 4
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhunter2", "the connection was dropped within the answer"),
        (b"SSH-2.0-hunter2\r\n", "what answers does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: hunter2" + b"x" * 70000, "what answers does not speak HTTP"),
    ],
)
def test_an_answer_that_is_broken_is_not_repeated(sent, said):
    """2: what came of it holds secrets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _address = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(sent)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(Unanswered, match=said) as raised:
            Http(f"http://127.0.0.1:{listening.getsockname()[1]}").send("GET", "/x")
        thread.join()
    assert "hunter2" not in str(raised.value)


def test_a_host_that_is_none():
    with pytest.raises(Unanswered, match="is no host name"):
        Http("http://a..b").send("GET", "/x")


def test_all_requests_together_have_a_limit_too(server):
    now = [0.0]
    http = Http(server.url, whole_seconds=100, clock=lambda: now[0])
    http.send("GET", "/api/openapi.json")
    now[0] = 100.0
    with pytest.raises(Unanswered, match="not sent, because all 100 s for the whole run are used up"):
        http.send("GET", "/api/openapi.json")
    assert len(server.log) == 1


def test_a_redirection_is_not_followed(server):
    """1: a trailing slash is answered by 307; no secret goes where it leads."""
    http = Http(server.url)
    reply = http.send("GET", "/api/v1/services/")
    assert (reply.status, reply.location, len(server.log)) == (307, "/api/v1/services", 1)
    assert http.reason(reply) == "307 redirections are not followed: give the address that it leads to"


LEADS = "redirections are not followed: give the address that it leads to, at https://b.example.net:8443"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(400, {"detail": "Service with name 'x' already exists"}), "400 Service with name 'x' already exists"),
        (Reply(400, {"detail": "no hunter2 here"}), "400 no ******** here"),
        (Reply(422, {"detail": [{"loc": ["body", "port"], "input": "hunter2", "msg": "hunter3"}]}), "422 refuses port"),
        (Reply(422, {"detail": "hunter3"}), "422"),
        (Reply(500), "500"),
        (Reply(400, {"detail": "line\nbreak" + "x" * 300}), "400 line break" + "x" * 190),
        (Reply(404, ["hunter2"]), "404"),
        (Reply(400, {"detail": "x" * 197 + "hunter2"}), "400 " + "x" * 197 + "***"),
        (Reply(422, {"detail": [{"loc": ["body", "x" * 189 + "hunter2"]}]}), "422 refuses " + "x" * 189 + "***"),
        (Reply(400, {"detail": "no two\nlines here"}), "400 no ******** here"),
        (Reply(400, {"detail": "no hunter22 here"}), "400 no ******** here"),
        (Reply(301, location="https://user:secret@b.example.net:8443/api/v1/services?key=secret"), "301 " + LEADS),
    ],
)
def test_what_is_said_of_an_answer(reply, words):
    """3.6: a refusal repeats what was sent; nothing else of a body is said."""
    assert Http("http://localhost", ["hunter2", "hunter22", "two\nlines"]).reason(reply) == words


def test_an_answer_does_not_show_its_body():
    assert "hunter2" not in repr(Reply(200, {"jwt_secret": "hunter2"}))


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("localhost:8000", "is no address"),
        ("ftp://localhost", "is no address"),
        ("http://", "is no address"),
        ("http://localhost:70000", "is no address"),
        ("http://localhost/?a=b", "is no address"),
        ("http://localhost:8000/api/v1", "without /api/v1"),
        ("http://local host", "without spaces"),
        ("http://user:hunter2@localhost", "with a user or a password is not accepted"),
    ],
)
def test_an_address_that_is_none(address, fault):
    with pytest.raises(Invalid, match=fault) as raised:
        Http(address)
    assert "hunter2" not in str(raised.value)


def test_a_path_before_the_api_is_kept(server):
    assert Http(f"{server.url}/below/").send("GET", "/api/openapi.json").status == 404
    assert server.log[0].path == "/below/api/openapi.json"


@pytest.mark.parametrize(
    ("address", "in_clear"),
    [("http://gateway.example.net", True), ("https://gateway.example.net", False), ("http://localhost:8000", False)],
)
def test_whether_secrets_cross_a_network_in_clear(address, in_clear):
    assert Http(address).in_clear is in_clear


def test_a_certificate_that_nobody_vouches_for(tmp_path, monkeypatch):
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "self-signed certificate"

    def fail(*arguments, **further):
        raise error

    monkeypatch.setattr("http.client.HTTPSConnection.connect", fail)
    with pytest.raises(Unanswered, match=r"its certificate is not trusted .self-signed certificate.: give .* ca_file"):
        Http("https://localhost").send("GET", "/x")
    with pytest.raises(Invalid, match=r"ca_file: .*/none holds no certificates"):
        Http("https://localhost", ca_file=str(tmp_path / "none"))


def test_an_answer_that_is_too_long(server, monkeypatch):
    monkeypatch.setattr("ansible_collections.tripod.baremetal.plugins.module_utils._gateway.http.ANSWER_BYTES", 1 << 20)
    server.handle = lambda request: Answer(200, "x" * (1 << 21))
    with pytest.raises(Unanswered, match="the answer is longer than 1 MiB"):
        Http(server.url).send("GET", "/x")
