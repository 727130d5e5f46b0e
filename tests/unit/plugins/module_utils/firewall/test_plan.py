"""Rules from a request, what differs from a listed table, and what stands against it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._core.state_store import StateFile
from ansible_collections.tripod.baremetal.plugins.module_utils._firewall import limits, ruleset
from ansible_collections.tripod.baremetal.plugins.module_utils._firewall.plan import PLACE, plan, state_file
from ansible_collections.tripod.baremetal.plugins.module_utils._firewall.request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._firewall.resource import SUBJECT, Firewall, reapply
from ansible_collections.tripod.baremetal.plugins.module_utils._firewall.state import FirewallState

REQUEST = parse(
    {
        "networks": [
            {"name": "db", "bridge": "db0", "subnets": ["172.31.1.0/24"]},
            {
                "name": "rpc",
                "bridge": "rpc0",
                "subnets": ["172.31.2.0/24", "fd31::/64"],
                "host_ports": [{"address": "172.31.2.1", "port": 50051}],
            },
            {
                "name": "edge",
                "bridge": "edge0",
                "subnets": ["172.31.3.0/24"],
                "published": True,
                "outside_ports": [{"address": "192.0.2.2", "port": 50051}],
            },
        ],
        "processes": [
            {
                "name": "go",
                "uid": 562,
                "local_ports": [8080, 50051],
                "outside_ports": [{"address": "192.0.2.3", "port": 50052}],
            }
        ],
    }
)
RULES = """\
prerouting
  hook prerouting priority -300 policy accept
  iifname != lo ip daddr 127.0.0.0/8 counter drop comment "tripod: loopback addresses from outside"
  iifname != lo ip6 daddr ::1 counter drop comment "tripod: loopback addresses from outside"
  iifname != { db0, lo } ip daddr 172.31.1.0/24 counter drop comment "tripod: db from elsewhere"
  iifname != { lo, rpc0 } ip daddr 172.31.2.0/24 counter drop comment "tripod: rpc from elsewhere"
  iifname != { lo, rpc0 } ip6 daddr fd31::/64 counter drop comment "tripod: rpc from elsewhere"
  iifname != { edge0, lo } ip daddr 172.31.3.0/24 counter drop comment "tripod: edge from elsewhere"
input
  hook input priority 0 policy accept
  iifname != { db0, edge0, rpc0 } accept comment "tripod: not from our networks"
  ct state ["established", "related"] accept comment "tripod: answers"
  icmpv6 type { nd-neighbor-advert, nd-neighbor-solicit } accept comment "tripod: neighbour discovery"
  iifname rpc0 ip daddr 172.31.2.1 tcp dport 50051 accept comment "tripod: rpc to the host"
  counter drop comment "tripod: our networks to the host"
forward
  hook forward priority 0 policy accept
  iifname != { db0, edge0, rpc0 } oifname != { db0, edge0, rpc0 } accept comment "tripod: not of our networks"
  ct state ["established", "related"] accept comment "tripod: answers"
  iifname db0 oifname db0 accept comment "tripod: within db"
  iifname rpc0 oifname rpc0 accept comment "tripod: within rpc"
  iifname edge0 oifname edge0 accept comment "tripod: within edge"
  iifname edge0 ip daddr 192.0.2.2 tcp dport 50051 accept comment "tripod: edge to elsewhere"
  iifname { db0, edge0, rpc0 } counter drop comment "tripod: our networks to elsewhere"
  oifname edge0 ct status dnat accept comment "tripod: published ports"
  counter drop comment "tripod: elsewhere to our networks"
output
  hook output priority 0 policy accept
  skuid 562 ct state ["established", "related"] accept comment "tripod: go's answers"
  skuid 562 oifname lo tcp dport { 50051, 8080 } accept comment "tripod: go to itself"
  skuid 562 ip daddr 192.0.2.3 tcp dport 50052 accept comment "tripod: go to another machine"
  skuid 562 counter drop comment "tripod: go to elsewhere"
"""


def listed(request=REQUEST):
    """The table as nft lists it: with handles and counts, and the members of sets in the kernel's order."""
    found = [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "tripod", "handle": 1}}]
    for command in ruleset.commands(ruleset.chains(request))[3:]:
        ((kind, body),) = copy.deepcopy(command["add"]).items()
        body["handle"] = len(found)
        for expression in body.get("expr", ()):
            if "counter" in expression:
                expression["counter"] = {"packets": 7, "bytes": 420}
            right = expression.get("match", {}).get("right")
            if isinstance(right, dict) and "set" in right:
                right["set"] = right["set"][::-1]
        found.append({kind: body})
    return [one for one in found if "metainfo" not in one]


def state(content=None, **more):
    chains, others = ruleset.parse(listed() if content is None else content)
    return FirewallState(chains, others, **{"state_file": state_file(REQUEST), **more})


def test_the_rules_as_people_read_them():
    chains = ruleset.chains(REQUEST)
    assert (
        "".join(f"{name}\n" + "".join(f"  {line}\n" for line in chain.lines()) for name, chain in chains.items())
        == RULES
    )


def test_nothing_is_to_be_done_where_the_table_is_as_requested():
    assert plan(REQUEST, state()) == []


def test_a_request_without_networks_is_of_the_loopback_alone():
    chains = ruleset.chains(parse({}))
    assert [len(chain.rules) for chain in chains.values()] == [2, 0, 0, 0]


def test_what_publishes_nothing_is_reached_from_nowhere_and_who_has_no_ports_talks_to_nobody():
    request = parse(
        {
            "networks": [{"name": "db", "bridge": "db0", "subnets": ["172.31.1.0/24"]}],
            "processes": [{"name": "go", "uid": 562}],
        }
    )
    forward, output = (ruleset.chains(request)[name].lines() for name in ("forward", "output"))
    assert not any("published ports" in line for line in forward)
    assert [line.rpartition("tripod: ")[2] for line in output[1:]] == ["go's answers\"", 'go to elsewhere"']


def test_a_table_that_is_not_there_is_made():
    changes = plan(REQUEST, FirewallState())
    assert [change.path[-1] for change in changes] == ["prerouting", "input", "forward", "output", "firewall"]
    assert all(change.before is None for change in changes)


def without_comment(content):
    content[-1]["rule"].pop("comment")


def another_policy(content):
    content[1]["chain"]["policy"] = "drop"


def another_order(content):
    content[-1], content[-2] = content[-2], content[-1]


def another_address(content):
    rule = next(one["rule"] for one in content if "172.31.1.0" in json.dumps(one))
    rule["expr"][1]["match"]["right"]["prefix"]["len"] = 25


def one_less(content):
    content.pop()


def dormant(content):
    content[0]["table"]["flags"] = "dormant"


@pytest.mark.parametrize(
    "change",
    [without_comment, another_policy, another_order, another_address, one_less, dormant],
    ids=lambda one: one.__name__,
)
def test_whatever_somebody_did_to_it_is_a_change(change):
    content = listed()
    change(content)
    changes = plan(REQUEST, state(content))
    assert len(changes) == 1
    assert changes[0].path[0] == PLACE


def test_what_somebody_added_is_a_change():
    mine = [{"chain": {"family": "inet", "table": "tripod", "name": "mine", "handle": 99}}]
    mine.append({"set": {"family": "inet", "table": "tripod", "name": "theirs", "type": "ipv4_addr"}})
    assert [change.path for change in plan(REQUEST, state(listed() + mine))] == [(PLACE, "mine"), (PLACE, "set theirs")]


def test_it_is_removed_with_its_state_file():
    assert [(change.path[0], change.after) for change in plan(None, state())] == [(PLACE, None), ("state file", None)]
    assert plan(None, FirewallState()) == []


def test_one_transaction_replaces_it_and_names_no_other_table():
    commands = ruleset.commands(ruleset.chains(REQUEST))
    assert [next(iter(one)) for one in commands[:3]] == ["add", "delete", "add"]
    for command in commands:
        ((kind, body),) = next(iter(command.values())).items()
        assert (body["family"], body["name" if kind == "table" else "table"]) == ("inet", "tripod")
    assert [next(iter(one)) for one in ruleset.commands(None)] == ["add", "delete"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"links": {"db0": ""}}, "db: db0 is a NIC and no bridge"),
        ({"links": {"db0": "bond"}}, "db: db0 is bond and no bridge"),
        ({"networks": {"eth0": ["172.31.0.0/16"]}}, "172.31.1.0/24 overlaps 172.31.0.0/16 of eth0"),
        ({"networks": {"eth0": ["fd31::/48"]}}, "fd31::/64 overlaps fd31::/48 of eth0"),
    ],
)
def test_what_would_cut_others_off_is_refused(more, words):
    with pytest.raises(Refused, match=words):
        Firewall(REQUEST).validate(REQUEST, state(**more))


def test_its_own_bridge_is_no_overlap():
    own = {"links": {"db0": "bridge"}, "networks": {"db0": ["172.31.1.0/24"], "eth0": ["192.0.2.0/24", "fd00::/64"]}}
    Firewall(REQUEST).validate(REQUEST, state(**own))


def test_a_table_of_others_is_refused_and_a_damaged_one_of_ours_is_not():
    foreign = listed()
    foreign[-1]["rule"]["comment"] = "mine"
    with pytest.raises(Refused, match="with rules that are not ours"):
        Firewall(REQUEST).validate(REQUEST, state(foreign, state_file=None))
    with pytest.raises(Refused, match="with rules that are not ours"):
        Firewall(None).validate(None, state(foreign, state_file=StateFile("firewall", "another", {})))
    Firewall(REQUEST).validate(REQUEST, state(foreign))
    # Made by a run that was killed before it saved its state file.
    Firewall(REQUEST).validate(REQUEST, state(state_file=None))


def test_what_the_host_lacks_is_said_unless_there_is_nothing_to_do():
    lacking = FirewallState(obstacle="there is no nft command: install the package nftables")
    with pytest.raises(Impossible, match="install the package nftables"):
        Firewall(REQUEST).validate(REQUEST, lacking)
    with pytest.raises(Impossible, match="install the package nftables"):
        Firewall(None).validate(None, replace(lacking, state_file=state_file(REQUEST)))
    assert list(limits.impossible(None, lacking)) == []


def test_where_only_interfaces_are_reapplied_it_is_left_alone():
    assert reapply({"not": "looked at"}, None, only={"eth0"}).changes == ()
    assert "/" in SUBJECT
