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


def _one_form(family: int, address: int) -> int:
    """Return an address as an IPv6 one, in which those of both families differ."""
    return MAPPED << 32 | address if family == 4 else address


class Judgement:
    """What became of a frame.

    Attributes:
        verdict: ``pass`` or ``drop``.
        reason: Why, as the counters name it.
        list, rule, service: Name of the list, the rule and the service that it matched and that count.
        observed_list, observed_rule: Of those in observe mode that would have decided.
        limits: What each bucket answered that was asked: the limit's name, and ``conformed``, ``exceeded``, or
            ``observed`` where it was exceeded in observe mode.
        would: What the first part in observe mode would have said: ``drop`` or ``pass``; None where none had a say.
    """

    __slots__ = (
        "limits",
        "list",
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
        self.limits: list[tuple[str, str]] = []
        self.service: str | None = None
        self.would: str | None = None

    def facts(self) -> dict[str, Any]:
        """Return all of it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def ended(self, verdict: str, reason: str) -> Judgement:
        """Say the verdict."""
        self.verdict, self.reason = verdict, reason
        return self

    def observe(self, drops: bool) -> None:
        """Note what a part in observe mode would have said; the first one has the word."""
        if self.would is None:
            self.would = "drop" if drops else "pass"


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
        self._bans = {_one_form(address.version, int(address)) for address in map(ipaddress.ip_address, bans)}
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

    def judge(self, frame: bytes, now: float = 0.0, buffer: int | None = None) -> Judgement:
        """Return what becomes of a frame.

        Args:
            frame: From the Ethernet header on.
            now: Seconds; they never go back.
            buffer: Bytes of it that are in the driver's first buffer; None where all are.
        """
        packet, said = parse(frame, buffer), Judgement()
        if packet.state == "not_ip" or not packet.family:
            return said.ended("pass", packet.state)
        whole = packet.state == "whole"
        if self._trusted.holds(packet.family, packet.source):
            return said.ended("pass", "trusted")
        if whole and any(flow.matches(packet) for flow in self._flows):
            return said.ended("pass", "trusted")
        # The IPv4 address by which the stack calls an IPv6 source, unless we trust it by that name.
        held = packet.source & 0xFFFFFFFF if packet.family == 6 and packet.source >> 32 == MAPPED else None
        trusted = held is not None and self._trusted.holds(4, held)
        if not trusted and _one_form(packet.family, packet.source) in self._bans:
            return said.ended("drop", "ban")
        decides = self._winner(packet.family, packet.source, whole, said)
        if held is not None and not trusted and not (decides and decides.action == "drop"):
            within = self._winner(4, held, whole, Judgement())
            decides = within if within and within.action == "drop" else decides
        if decides and decides.action == "drop":
            said.list = decides.name
            return said.ended("drop", "list_drop")
        if not whole:
            return said.ended("drop" if packet.hides else "pass", "malformed")
        return self._judge_whole(packet, decides, said, now)

    def _winner(self, family: int, source: int, whole: bool, said: Judgement) -> List | None:
        """Return the enforced list that decides on a source; note the one in observe mode that would."""
        for place, number in enumerate(self._sources.find(family, source)):
            one = self._lists[number]
            if not one.observed:
                return one
            if place == 0 and (whole or one.action == "drop"):
                said.observed_list = one.name
                said.observe(one.action == "drop")
        return None

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
        for rule in self._rules:
            if rule.matches(packet):
                if not rule.observed:
                    return rule
                if said.observed_rule is None:
                    said.observed_rule = rule.name
                    said.observe(rule.action == "drop")
        return None

    def _limited(self, names: Iterable[str], packet: Packet, service: str | None, said: Judgement, now: float) -> bool:
        """Charge limits in their order; return whether one of them drops the packet."""
        for name in names:
            limit = self._limits[name]
            for enough in limit.ask(packet.family, packet.source, service, packet.length, now):
                if enough:
                    said.limits.append((name, "conformed"))
                elif limit.observed:
                    said.limits.append((name, "observed"))
                    said.observe(drops=True)
                else:
                    said.limits.append((name, "exceeded"))
                    return True
        return False
