# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Whether the policies that are planned can be put in force, and leave the operator a way in: pure functions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .._core.converge import CoreError
from .._core.findings import ERROR, WARNING, Finding
from .._policy.compiler import Compiled, compile_policy
from .._policy.model import Match, Policy
from .._policy.prefix import parse_prefix
from .._policy.rates import too_fine
from .._policy.request import parse
from .._xdp import policy_documents
from .._xdp.policy_lists import digest
from .._xdp.policy_tests import read_tests

TCP = 6
_USUAL_HZ = 250  # of a host that is not met yet; its own is checked there
_SUBJECT = "XDP policy"


def compiled(name: str, document: Mapping[str, Any], read: Callable[[str], bytes]) -> Compiled:
    """Return a policy compiled as on a host, before any is met.

    Args:
        name: Of the policy.
        document: What the inventory declares.
        read: Returns the text of a file that a list names.

    Raises:
        CoreError: With everything that is wrong, in ``reasons`` where it is several things.
    """
    policy_documents.check_name(name)
    texts: dict[str, bytes] = {}
    lists = _lists(document)
    if lists is not None:
        document = {**document, "lists": [_with_text(one, read, texts) for one in lists]}
    now = time.time()
    return compile_policy(parse(document, texts, now=now).at(now), hz=_USUAL_HZ, seed=b"")


def _lists(document: Any) -> list[Any] | None:
    """Return the lists of a policy; None where there are none, as in what is no policy at all."""
    lists = document.get("lists") if isinstance(document, Mapping) else None
    return lists if isinstance(lists, list) else None


def _with_text(one: Any, read: Callable[[str], bytes], texts: dict[str, bytes]) -> Any:
    if not isinstance(one, Mapping) or not isinstance(one.get("file"), str):
        return one
    text = read(one["file"])
    texts[digest(text)] = text
    return {**one, "sha256": digest(text)}


def unassigned(interfaces: Sequence[Mapping[str, Any]], policies: Mapping[str, Any], short: bool) -> Iterator[str]:
    """Yield what is wrong with who is judged by what.

    Args:
        interfaces: As in ``xdp_interfaces``.
        policies: As in ``xdp_policies``.
        short: Whether there is a policy in short form.
    """
    attached = [one for one in interfaces if one.get("state", "attached") == "attached"]
    for one in attached:
        name = one.get("policy")
        if name and name not in policies:
            known = ", ".join(policies) or "none"
            yield f"xdp_interfaces ({one.get('name')}): policy {name} is not in xdp_policies, where there are {known}"
    if short and attached and all(one.get("policy") or "default" in policies for one in attached):
        yield (
            "xdp_acl is for interfaces without a policy, and each of xdp_interfaces has one: add its prefixes to a "
            "list in xdp_policies, or leave it out"
        )


def check_tests(
    tests: Sequence[Mapping[str, Any]], policies: Mapping[str, Any], find: Callable[[str], str] | None = None
) -> Iterator[str]:
    """Yield what is wrong with the tests of policies, as in ``xdp_policy_tests``.

    Args:
        tests: As there.
        policies: By name.
        find: Returns where a capture is on this machine; None where captures are on the host already.
    """
    for number, one in enumerate(tests):
        if one["policy"] not in policies:
            yield f"xdp_policy_tests[{number}]: policy {one['policy']} is not in xdp_policies"
        if one.get("pcap") is not None:
            if find is None:
                continue
            one = {**one, "pcap": find(one["pcap"])}
        try:
            read_tests([one], policies[one["policy"]] or {} if one["policy"] in policies else None)
        except CoreError as error:
            yield from (said.replace("tests[0]", f"xdp_policy_tests[{number}]", 1) for said in error.facts["reasons"])


def check_policies(policies: Mapping[str, Any], hz: int, peer: str = "", port: int = 0) -> Iterator[Finding]:
    """Yield what a host cannot keep of policies, and those that could shut the operator out.

    Args:
        policies: By name. Files of lists are not looked at; that was done on the control node.
        hz: Ticks of the host's clock in a second.
        peer: Address that the operator's connection comes from; "" where it is not known, or there is none.
        port: Of the host, that it comes to.
    """
    for name, document in policies.items():
        try:
            policy = parse(_without_files({} if document is None else document), now=time.time())
        except CoreError as error:
            for reason in error.facts.get("reasons") or [str(error)]:
                yield Finding(ERROR, f"{_SUBJECT} {name}", reason, "a valid policy", "correct it in xdp_policies")
            continue
        for reason in too_fine(policy.limits, hz):
            yield Finding(ERROR, f"{_SUBJECT} {name}", reason, "what its clock can keep", "correct the limit")
        if peer and not _trusts(policy, peer, port):
            yield Finding(
                WARNING,
                f"{_SUBJECT} {name}",
                f"the control node's address {peer} is in no trusted prefix, and port {port} in no trusted flow",
                "a way in that no rule closes",
                f"trusted: [{{prefix: {peer}}}], or [{{protocol: tcp, port: {port}}}]",
            )


def _without_files(document: Mapping[str, Any]) -> Mapping[str, Any]:
    lists = _lists(document)
    if lists is None:
        return document
    bare = [
        {key: value for key, value in one.items() if key not in ("file", "sha256")} if isinstance(one, Mapping) else one
        for one in lists
    ]
    return {**document, "lists": bare}


def _trusts(policy: Policy, peer: str, port: int) -> bool:
    source = parse_prefix(peer)
    number = int.from_bytes(source.address, "big")
    for prefix in policy.trusted:
        rest = source.length - prefix.length
        if prefix.version == source.version and number >> rest == int.from_bytes(prefix.address, "big") >> rest:
            return True
    return any(_takes(flow, port) for flow in policy.flows)


def _takes(flow: Match, port: int) -> bool:
    ports = flow.destination_ports
    return (not flow.protocols or TCP in flow.protocols) and (
        not ports or any(first <= port <= last for first, last in ports)
    )
