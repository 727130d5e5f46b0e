"""How a packet is judged: the reference that the program is compared with, in the plainest words there are.

It takes a policy as an operator writes it and frames as they are on the wire. It shares no code with the compiler
and the program: every prefix is compared, every rule is walked.

Source: docs/decisions/0036-how-a-packet-is-judged.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.policy_model_limits import Limit
from tests.support.policy_model_packet import Packet, parse
from tests.support.policy_model_parts import Part
from tests.support.policy_model_prefixes import Prefixes

MAPPED = 0xFFFF  # the upper 96 bits of ::ffff:a.b.c.d


class Judgement:
    """What became of a frame.

    Attributes:
        verdict: ``pass`` or ``drop``.
        reason: Why, as the counters name it.
        list, rule, service: Name of the list, the rule and the service that it matched and that count.
        observed_list, observed_rule: Of those in observe mode that would have decided.
        limit: Of the limit that dropped it.
        observed_limit: Of the first one in observe mode that it exceeds.
        would: ``drop`` where the first of the observed parts drops, else None.
    """

    __slots__ = (
        "limit",
        "list",
        "observed_limit",
        "observed_list",
        "observed_rule",
        "reason",
        "rule",
        "service",
        "verdict",
        "would",
    )

    def __init__(self) -> None:
        self.verdict, self.reason = "pass", ""
        self.list: str | None = None
        self.observed_list: str | None = None
        self.rule: str | None = None
        self.observed_rule: str | None = None
        self.limit: str | None = None
        self.observed_limit: str | None = None
        self.service: str | None = None
        self.would: str | None = None

    def facts(self) -> dict[str, str | None]:
        """Return all of it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def ended(self, verdict: str, reason: str) -> Judgement:
        """Say the verdict."""
        self.verdict, self.reason = verdict, reason
        return self

    def _observes(self) -> bool:
        return bool(self.observed_list or self.observed_rule or self.observed_limit)

    def observe(self, kind: str, name: str, drops: bool) -> None:
        """Note a part in observe mode; the first one noted says what would have been."""
        if not self._observes() and drops:
            self.would = "drop"
        setattr(self, f"observed_{kind}", getattr(self, f"observed_{kind}") or name)


class List:
    """A list, as the operator wrote it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.name: str = options["name"]
        self.action: str = options.get("action", "drop")
        self.observed = options.get("mode", "enforce") == "observe"
        self.prefixes = [one if isinstance(one, str) else one["prefix"] for one in options.get("prefixes", ())]


class Model:
    """A policy, and the state of its limits.

    Args:
        policy: As the operator writes it: ``trusted``, ``lists``, ``rules``, ``limits``, ``services``, ``default``.
        bans: Addresses that are banned.
    """

    def __init__(self, policy: Mapping[str, Any], bans: Iterable[str] = ()) -> None:
        self._default = policy.get("default", "pass")
        self._bans = {(address.version, int(address)) for address in map(ipaddress.ip_address, bans)}
        self._limits = {one["name"]: Limit(one) for one in policy.get("limits", ())}
        self._every_packet = [one["name"] for one in policy.get("limits", ()) if one.get("every_packet")]
        self._lists = [List(one) for one in policy.get("lists", ())]
        self._sources = Prefixes()
        members = {}
        for number, one in enumerate(self._lists):
            members[one.name] = Prefixes()
            for prefix in one.prefixes:
                members[one.name].add(prefix, number)
                if one.action != "none":
                    self._sources.add(prefix, number)
        self._trusted = Prefixes()
        for one in policy.get("trusted", ()):
            if "prefix" in one:
                self._trusted.add(one["prefix"], 0)
        self._flows = [Part(one, members) for one in policy.get("trusted", ()) if "prefix" not in one]
        self._rules = [Part(one, members) for one in policy.get("rules", ())]
        self._services = [Part(one, members) for one in policy.get("services", ())]

    def judge(self, frame: bytes, now: float = 0.0) -> Judgement:
        """Return what becomes of a frame.

        Args:
            frame: From the Ethernet header on.
            now: Seconds; they never go back.
        """
        packet, said = parse(frame), Judgement()
        if packet.state == "not_ip":
            return said.ended("pass", "not_ip")
        whole = packet.state == "whole"
        if not packet.family:
            return said.ended("pass", "malformed")
        family, source = packet.family, packet.source
        if self._trusted.holds(family, source) or (whole and any(flow.matches(packet) for flow in self._flows)):
            return said.ended("pass", "trusted")
        if (family, source) in self._bans:
            return said.ended("drop", "ban")
        decides = self._winner(family, source, said)
        if decides and decides.action == "drop":
            return self._dropped_by(decides, said)
        if family == 6 and source >> 32 == MAPPED and not self._trusted.holds(4, source & 0xFFFFFFFF):
            held = source & 0xFFFFFFFF
            if (4, held) in self._bans:
                return said.ended("drop", "ban")
            within = self._winner(4, held, Judgement())
            if within and within.action == "drop":
                return self._dropped_by(within, said)
        if not whole:
            return said.ended("pass", "malformed")
        return self._judge_whole(packet, decides, said, now)

    def _winner(self, family: int, source: int, said: Judgement) -> List | None:
        """Return the enforced list that decides on a source; note the one in observe mode that would."""
        for place, number in enumerate(self._sources.find(family, source)):
            one = self._lists[number]
            if not one.observed:
                return one
            if place == 0:
                said.observe("list", one.name, one.action == "drop")
        return None

    @staticmethod
    def _dropped_by(one: List, said: Judgement) -> Judgement:
        said.list = one.name
        return said.ended("drop", "list_drop")

    def _judge_whole(self, packet: Packet, decides: List | None, said: Judgement, now: float) -> Judgement:
        passed = None
        limits = []
        if decides is not None:
            said.list = decides.name
            if decides.action == "pass":
                passed = "list_pass"
            else:
                limits.append(decides.action.removeprefix("limit:"))
        if passed is None:
            rule = self._rule(packet, said)
            if rule is not None:
                said.rule = rule.name
                if rule.action == "drop":
                    return said.ended("drop", "rule_drop")
                if rule.action == "pass":
                    passed = "rule_pass"
                else:
                    limits.append(rule.limit)
        if passed is None and self._limited([*limits, *self._every_packet], packet, None, said, now):
            return said.ended("drop", "limit")
        service = next((one for one in self._services if one.matches(packet)), None)
        if service is not None:
            said.service = service.name
            if service.limit and self._limited([service.limit], packet, service.name, said, now):
                return said.ended("drop", "limit")
            if service.action == "drop":
                return said.ended("drop", "service_drop")
            # Nothing listens here, neither a worker nor a server that a cookie could be for.
            return said.ended("pass", "afxdp" if service.action.startswith("afxdp:") else "service_pass")
        if passed is not None:
            return said.ended("pass", passed)
        return said.ended("pass", "no_rule") if self._default == "pass" else said.ended("drop", "default")

    def _rule(self, packet: Packet, said: Judgement) -> Part | None:
        """Return the enforced rule that decides; note the one in observe mode that would."""
        first = True
        for rule in self._rules:
            if rule.matches(packet):
                if not rule.observed:
                    return rule
                if first:
                    said.observe("rule", rule.name, rule.action == "drop")
                first = False
        return None

    def _limited(self, names: Iterable[str], packet: Packet, service: str | None, said: Judgement, now: float) -> bool:
        """Charge limits in their order; return whether one of them drops the packet."""
        for name in names:
            limit = self._limits[name]
            if limit.exceeded(packet.family, packet.source, service, packet.length, now):
                if not limit.observed:
                    said.limit = name
                    return True
                said.observe("limit", name, drops=True)
        return False
