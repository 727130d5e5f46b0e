"""A request has one name, in its answer, in every line of the log, and on its way to go-backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import grpc
import pytest
from conftest import Caller
from service import Service, free_port
from test_dataplane import FRAME, Peer, serve
from wire import PROBLEM, say

from tripod_api import requestid
from tripod_api.config import Settings
from tripod_api.gen import backend_pb2 as pb

pytestmark = pytest.mark.databases("sqlite")

LOGIN = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
WRONG = b'{"email": "nobody@example.com", "password": "wrong"}'


class Named(Peer):
    """Answers with what the request was called on its way here."""

    def ProcessData(self, request: pb.DataRequest, context: grpc.ServicerContext) -> pb.DataResponse:  # noqa: N802
        names = [str(value) for key, value in context.invocation_metadata() if key == requestid.METADATA]
        return pb.DataResponse(interface=request.interface, reason=" and ".join(names))


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    port = free_port()
    server = serve(port, Named())
    yield replace(settings, go_backend_target=f"127.0.0.1:{port}")
    server.stop(None).wait()


def test_go_backend_is_told_the_name(admin: Caller) -> None:
    question = {"interface": "ens1", "frame": FRAME}
    headers = {"Authorization": f"Bearer {admin.access}", requestid.HEADER: "trace-7"}
    answer = admin.client.post("/api/v1/dataplane/trace", json=question, headers=headers)
    assert (answer.json["reason"], answer.headers[requestid.HEADER]) == ("trace-7", "trace-7")
    made = admin("POST", "/dataplane/trace", json=question)
    assert made.json["reason"] == made.headers[requestid.HEADER] != ""
    assert requestid.current() is None


def test_every_line_of_the_log_bears_the_name(start: Callable[..., Service]) -> None:
    service = start()
    service.wait(service.ready)
    body = b"Content-Length: %d\r\n\r\n%s" % (len(WRONG), WRONG)
    whole = [
        LOGIN + b"X-Request-ID: sign-in-1\r\n" + body,
        # Refused by the loop, before the body; by gunicorn's parser; and before there was anything to read.
        LOGIN + b"X-Request-ID: large-1\r\nContent-Length: 9999999\r\n\r\n",
        LOGIN + b"X-Request-ID: odd-1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        LOGIN + b"X-Request-ID: no name\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GARBAGE\r\n\r\n",
    ]
    names = []
    for request in whole:
        _, headers, answer = say(service.port, request)
        told = json.loads(answer)
        assert told.keys() == PROBLEM
        assert told["request_id"] == headers[requestid.HEADER]
        names.append(told["request_id"])
    assert names[:3] == ["sign-in-1", "large-1", "odd-1"]
    assert service.stop() == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    logged = [line["request_id"] for line in lines if "request_id" in line]
    assert set(names) <= set(logged)
    assert {line["message"] for line in lines if line.get("request_id") == "sign-in-1"} == {"sign-in failed", "request"}
    # And no line of this service's own that is about a request goes without.
    nameless = [line for line in lines if "request_id" not in line]
    assert not [line for line in nameless if "client" in line or "refused" in line["message"]]
