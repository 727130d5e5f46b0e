"""What the policy's socket takes, as its schema says it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_protocol as protocol
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_errors import Busy, Conflict
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, Invalid


def line(**content):
    return json.dumps(content).encode()


def test_a_request_has_the_defaults_of_what_it_leaves_out():
    request = protocol.parse(line(id=7, op="put", policy="edge", document={}))
    assert (request.id, request.op) == (7, "put")
    assert request.options == {
        "policy": "edge",
        "document": {},
        "owner": "api",
        "expected": None,
        "confirm": None,
        "dry_run": False,
        "name": "",
        "why": "",
        "by": "",
        "connection": None,
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the request is no JSON"),
        (b"{", "the request is no JSON"),
        (b"[]", "the request is no JSON object"),
        (b"[" * 100_000, "the request is no JSON"),
        (b"\xff\xfe", "the request is no JSON"),
        (b'{"op": "status", "op": "bans"}', "'op' is given twice"),
        (b'{"op": "ban", "address": "::1", "seconds": NaN}', "NaN is no JSON"),
        (line(id=1), "op None is none of status, get,"),
        (line(op=["status"]), "is none of status, get,"),
        (line(op="reboot"), "op 'reboot' is none of status, get,"),
        (line(op="status", extra=1), "'extra' is no key"),
        (line(op="get"), "policy is missing"),
        (line(op="get", policy=3), "3 is not a text"),
        (line(op="get", policy="x" * 33), "33 characters > the limit 32"),
        (line(op="get", policy="edge", owner="inventory"), "'inventory' does not fit"),
        (line(op="put", policy="edge"), "document is missing"),
        (line(op="put", policy="edge", document=[]), "[] is not a mapping"),
        (line(op="put", policy="edge", document={"rules": [{"id": 1}]}), "document.rules[0].id: 1 is not a text"),
        (line(op="put", policy="edge", document={}, confirm=4), "4 < the least, 5"),
        (line(op="put", policy="edge", document={}, confirm=3601), "3601 > the limit 3600"),
        (line(op="put", policy="edge", document={}, confirm=True), "confirm"),
        (line(op="put", policy="edge", document={}, connection={"peer": "192.0.2.1"}), "is missing"),
        (line(op="ban", address="192.0.2.1", seconds=0), "0 < the least, 1"),
        (line(op="ban", address="192.0.2.1", seconds=31 * 86400 + 1), "> the limit 2678400"),
        (line(op="ban", address="192.0.2.1", seconds=1.5), "1.5 is not a whole number"),
        (line(op="bans", limit=1001), "1001 > the limit 1000"),
        (line(id={}, op="status"), "id"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(content, reason):
    with pytest.raises(Invalid) as caught:
        protocol.parse(content)
    assert reason in str(caught.value)


def test_all_reasons_come_at_once_and_the_id_with_them():
    with pytest.raises(Invalid) as caught:
        protocol.parse(line(id="x", op="put", owner="root", document={"lists": [{"name": "-"}], "color": 1}))
    assert caught.value.facts["id"] == "x"
    assert len(caught.value.facts["reasons"]) == 4


def test_thousands_of_reasons_are_cut_short():
    with pytest.raises(Invalid) as caught:
        protocol.parse(line(op="put", policy="edge", document={"rules": [{"id": 1}] * 1000}))
    assert caught.value.facts["reasons"][-1] == "and more"
    assert len(caught.value.facts["reasons"]) == 21


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Invalid("no"), "invalid"), (Busy("no"), "busy"), (Conflict("no"), "conflict"), (CoreError("no"), "failed")],
)
def test_an_error_says_its_kind_and_its_reasons(error, kind):
    answer = json.loads(protocol.failure(3, error))
    assert answer == {"id": 3, "ok": False, "error": {"kind": kind, "message": "no", "reasons": ["no"]}}


def test_an_answer_is_one_line():
    assert protocol.answer(None, {"text": "a\nb"}) == b'{"id":null,"ok":true,"result":{"text":"a\\nb"}}\n'
