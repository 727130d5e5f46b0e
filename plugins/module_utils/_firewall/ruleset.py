# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The rules that a request comes to, in the form in which nft lists them. Functions of data only.

Four chains, each a base chain of our own at its hook. A drop in one of them is final, whatever tables of others say;
an accept is not: it only ends our chain, and theirs go on.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .request import HostPort, Process, Request

FAMILY, TABLE = "inet", "tripod"
MARK = "tripod: "  # Every rule's comment begins so, and shows whose table it is.
LOOPBACK = "lo"

Expression = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        comment: What it is for.
        expressions: What it holds, in order; counts of packets and bytes left out.
    """

    comment: str
    expressions: tuple[Any, ...]

    def __str__(self) -> str:
        words = " ".join(_text(one) for one in self.expressions)
        return f'{words} comment "{self.comment}"' if self.comment else words


@dataclass(frozen=True)
class Chain:
    """A base chain.

    Attributes:
        hook: Where packets pass it.
        priority: Its place among the chains there.
        rules: In order.
        policy: What becomes of a packet that no rule decides on.
    """

    hook: str
    priority: int
    rules: tuple[Rule, ...]
    policy: str = "accept"

    def lines(self) -> list[str]:
        """Return the chain for people."""
        return [f"hook {self.hook} priority {self.priority} policy {self.policy}", *map(str, self.rules)]


def chains(request: Request) -> dict[str, Chain]:
    """Return the chains of a request by name."""
    return {
        # Before connection tracking (-200), and so before the engine translates addresses (-100): what is to be reached
        # under a published address still has that one here, and a container's own address is one that nobody published.
        "prerouting": Chain("prerouting", -300, tuple(_prerouting(request))),
        "input": Chain("input", 0, tuple(_input(request))),
        "forward": Chain("forward", 0, tuple(_forward(request))),
        "output": Chain("output", 0, tuple(_output(request))),
    }


def _prerouting(request: Request) -> Iterator[Rule]:
    yield _drop("loopback addresses from outside", _not_by(LOOPBACK), _to("127.0.0.0/8"))
    yield _drop("loopback addresses from outside", _not_by(LOOPBACK), _to("::1"))
    for network in request.networks:
        for subnet in network.subnets:
            yield _drop(f"{network.name} from elsewhere", _not_by(LOOPBACK, network.bridge), _to(subnet))


def _input(request: Request) -> Iterator[Rule]:
    if not request.networks:
        return
    yield _accept("not from our networks", _not_by(*request.bridges))
    yield _accept("answers", _known())
    # Without neighbour discovery the host would not find the containers that it has IPv6 connections to.
    yield _accept("neighbour discovery", _equals(_field("icmpv6", "type"), "nd-neighbor-solicit", "nd-neighbor-advert"))
    for network in request.networks:
        for port in network.host_ports:
            yield _accept(f"{network.name} to the host", _by(network.bridge), *_to_port(port))
    yield _drop("our networks to the host")


def _forward(request: Request) -> Iterator[Rule]:
    if not request.networks:
        return
    bridges = request.bridges
    yield _accept("not of our networks", _not_by(*bridges), _differs(_meta("oifname"), *bridges))
    yield _accept("answers", _known())
    # Frames within a bridge pass here too where br_netfilter is loaded, and the engine loads it.
    for network in request.networks:
        yield _accept(f"within {network.name}", _by(network.bridge), _equals(_meta("oifname"), network.bridge))
    for network in request.networks:
        for port in network.outside_ports:
            yield _accept(f"{network.name} to elsewhere", _by(network.bridge), *_to_port(port))
    yield _drop("our networks to elsewhere", _by(*bridges))
    edges = [network.bridge for network in request.networks if network.published]
    if edges:
        yield _accept("published ports", _equals(_meta("oifname"), *edges), _is_in({"ct": {"key": "status"}}, "dnat"))
    yield _drop("elsewhere to our networks")


def _output(request: Request) -> Iterator[Rule]:
    for process in request.processes:
        yield from _held(process)


def _held(process: Process) -> Iterator[Rule]:
    own = _equals({"meta": {"key": "skuid"}}, process.uid)
    yield _accept(f"{process.name}'s answers", own, _known())
    if process.local_ports:
        local = _equals(_meta("oifname"), LOOPBACK)
        yield _accept(f"{process.name} to itself", own, local, _equals(_field("tcp", "dport"), *process.local_ports))
    for port in process.outside_ports:
        yield _accept(f"{process.name} to another machine", own, *_to_port(port))
    yield _drop(f"{process.name} to elsewhere", own)


def commands(desired_chains: Mapping[str, Chain] | None) -> list[Mapping[str, Any]]:
    """Return the commands that make the table anew, or remove it; for one transaction."""
    table = {"family": FAMILY, "name": TABLE}
    # Deleting what is not there fails, and adding what is there does not.
    found: list[Mapping[str, Any]] = [{"add": {"table": table}}, {"delete": {"table": table}}]
    if desired_chains is None:
        return found
    found.append({"add": {"table": table}})
    for name, chain in desired_chains.items():
        place = {"family": FAMILY, "table": TABLE}
        base = {"type": "filter", "hook": chain.hook, "prio": chain.priority, "policy": chain.policy}
        found.append({"add": {"chain": {**place, "name": name, **base}}})
        for rule in chain.rules:
            body = {**place, "chain": name, "expr": list(rule.expressions), "comment": rule.comment}
            found.append({"add": {"rule": body}})
    return found


def parse(listed: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Chain], list[str]]:
    """Return the chains of a listed table, and what else is in it, such as a set that somebody added."""
    rules: dict[str, list[Rule]] = {}
    others = []
    bases = {}
    for one in listed:
        ((kind, body),) = one.items()
        if kind == "chain":
            bases[body["name"]] = body
        elif kind == "rule":
            expressions = tuple(_plain(expression) for expression in body["expr"])
            rules.setdefault(body["chain"], []).append(Rule(body.get("comment", ""), expressions))
        elif kind == "table":
            others += [f"flag {flag}" for flag in _listed(body.get("flags"))]
        else:
            others.append(f"{kind} {body.get('name', '')}".strip())
    found = {
        name: Chain(body.get("hook", ""), body.get("prio", 0), tuple(rules.get(name, ())), body.get("policy", "accept"))
        for name, body in bases.items()
    }
    return found, others


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _plain(value: Any) -> Any:
    """Return an expression without counts, and with the members of a set in one order."""
    if isinstance(value, Mapping):
        if "counter" in value and isinstance(value["counter"], (Mapping, type(None))):
            return {"counter": None}
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted((_plain(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


def _accept(comment: str, *expressions: Expression) -> Rule:
    return Rule(MARK + comment, (*expressions, {"accept": None}))


def _drop(comment: str, *expressions: Expression) -> Rule:
    return Rule(MARK + comment, (*expressions, {"counter": None}, {"drop": None}))


def _meta(key: str) -> Expression:
    return {"meta": {"key": key}}


def _field(protocol: str, field: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": field}}


def _match(op: str, left: Expression, right: Any) -> Expression:
    return {"match": {"op": op, "left": left, "right": right}}


def _members(values: Sequence[Any]) -> Any:
    """Return one value as itself and several as a set, which is what nft makes of them."""
    several = _plain(list(dict.fromkeys(values)))
    return several[0] if len(several) == 1 else {"set": several}


def _equals(left: Expression, *values: Any) -> Expression:
    return _match("==", left, _members(values))


def _differs(left: Expression, *values: Any) -> Expression:
    return _match("!=", left, _members(values))


def _is_in(left: Expression, *values: str) -> Expression:
    return _match("in", left, values[0] if len(values) == 1 else sorted(values))


def _by(*interfaces: str) -> Expression:
    return _equals(_meta("iifname"), *interfaces)


def _not_by(*interfaces: str) -> Expression:
    return _differs(_meta("iifname"), *interfaces)


def _known() -> Expression:
    return _is_in({"ct": {"key": "state"}}, "established", "related")


def _to(destination: str) -> Expression:
    network = ipaddress.ip_network(destination)
    field = _field("ip" if network.version == 4 else "ip6", "daddr")
    whole = network.prefixlen == network.max_prefixlen
    address = str(network.network_address)
    return _match("==", field, address if whole else {"prefix": {"addr": address, "len": network.prefixlen}})


def _to_port(port: HostPort) -> tuple[Expression, Expression]:
    return _to(port.address), _equals(_field(port.protocol, "dport"), port.port)


def _text(expression: Any) -> str:
    """Return an expression as nft writes it for people; what is not ours as it is."""
    if not isinstance(expression, Mapping) or len(expression) != 1:
        return json.dumps(expression) if isinstance(expression, (Mapping, list)) else str(expression)
    ((kind, body),) = expression.items()
    if body is None:
        return str(kind)
    if kind == "match" and {"op", "left", "right"} <= body.keys():
        op = f"{body['op']} " if body["op"] == "!=" else ""
        return f"{_text(body['left'])} {op}{_text(body['right'])}"
    if kind == "meta":
        return str(body.get("key"))
    if kind == "ct":
        return f"ct {body.get('key')}"
    if kind == "payload":
        return f"{body.get('protocol')} {body.get('field')}"
    if kind == "prefix":
        return f"{body.get('addr')}/{body.get('len')}"
    if kind == "set" and isinstance(body, list):
        return "{ " + ", ".join(_text(one) for one in body) + " }"
    return json.dumps(expression, sort_keys=True)
