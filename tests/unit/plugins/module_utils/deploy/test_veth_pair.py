"""Planning a veth pair; the kernel's side is in tests/integration."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Impossible,
    Invalid,
    Refused,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.veth_pair import (
    End,
    Link,
    Pair,
    PairState,
    VethPair,
    canonical,
)

PAIR = VethPair("lab0", "lab1", "lab")
DESIRED = Pair(near=End(("192.0.2.1/24",)), far=End(("192.0.2.2/24",)), mtu=1500, queues=2)
NEAR = Link(8, "veth", other=2, crosses=True, mtu=1500, queues=2, up=True, addresses=("192.0.2.1/24",))
FAR = Link(2, "veth", other=8, crosses=True, mtu=1500, queues=2, up=True, addresses=("192.0.2.2/24",))
MADE = PairState(near=NEAR, far=FAR, netns=True, netns_ours=True)


def changed(link, **values):
    return Link(**{**link.__dict__, **values})


def test_nothing_is_planned_for_a_pair_that_is_right():
    PAIR.validate(DESIRED, MADE)
    assert PAIR.plan(DESIRED, MADE) == []


def test_a_pair_is_made_in_the_order_that_works():
    PAIR.validate(DESIRED, PairState())
    assert PAIR.plan(DESIRED, PairState()) == [
        Change(("netns", "lab"), None, "present"),
        Change(("lab0", "veth"), None, {"peer": "lab1", "netns": "lab", "queues": 2}),
        Change(("lab0", "mtu"), None, 1500),
        Change(("lab/lab1", "mtu"), None, 1500),
        Change(("lab0", "addresses"), None, ["192.0.2.1/24"]),
        Change(("lab/lab1", "addresses"), None, ["192.0.2.2/24"]),
        Change(("lab0", "up"), None, True),
        Change(("lab/lab1", "up"), None, True),
    ]


def test_only_what_was_asked_is_compared():
    odd = PairState(near=changed(NEAR, mtu=9000), far=changed(FAR, addresses=("203.0.113.9/32",)), netns=True)
    assert PAIR.plan(Pair(), odd) == []


def test_addresses_are_a_complete_list():
    state = PairState(near=changed(NEAR, addresses=("192.0.2.1/24", "192.0.2.7/24")), far=FAR, netns=True)
    assert PAIR.plan(DESIRED, state) == [
        Change(("lab0", "addresses"), ["192.0.2.1/24", "192.0.2.7/24"], ["192.0.2.1/24"])
    ]


def test_taking_a_link_down_disrupts():
    (near, far) = PAIR.plan(Pair(up=False), MADE)
    assert near == Change(("lab0", "up"), True, False, disrupts=True)
    assert far.disrupts


def test_addresses_are_compared_as_the_kernel_prints_them():
    assert canonical(["2001:DB8:0::1/64", "192.0.2.1/24", "192.0.2.1/24"]) == ["192.0.2.1/24", "2001:db8::1/64"]


def test_removal_takes_our_namespace_along_and_leaves_another_one():
    gone = Pair(present=False)
    assert [change.path for change in PAIR.plan(gone, MADE)] == [("lab0", "veth"), ("netns", "lab")]
    foreign = PairState(near=NEAR, far=FAR, netns=True)
    assert [change.path for change in PAIR.plan(gone, foreign)] == [("lab0", "veth")]
    assert PAIR.plan(gone, PairState()) == []


def test_removal_is_refused_while_the_namespace_holds_something_else():
    with pytest.raises(Refused, match="namespace lab still holds eth7"):
        PAIR.validate(Pair(present=False), PairState(NEAR, FAR, True, True, netns_others=("eth7",)))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (PairState(near=changed(NEAR, kind="")), "a hardware or loopback interface"),
        (PairState(near=changed(NEAR, kind="bridge"), far=FAR), "a bridge interface"),
        (PairState(near=NEAR), "whose other end is lab/lab1"),
        (PairState(near=NEAR, far=changed(FAR, other=9)), "whose other end is lab/lab1"),
        (PairState(near=changed(NEAR, crosses=False), far=FAR), "whose other end is lab/lab1"),
        (PairState(far=FAR, netns=True), "lab/lab1 exists and lab0 does not"),
    ],
)
def test_an_interface_that_is_not_that_pair_is_refused(state, reason):
    with pytest.raises(Refused, match=reason):
        PAIR.validate(DESIRED, state)


def test_another_number_of_queues_needs_another_pair():
    with pytest.raises(Impossible, match="4 queues are requested, it was made with 2"):
        PAIR.validate(Pair(queues=4), MADE)


def test_every_malformed_option_is_named_at_once():
    pair = VethPair("a-name-of-16-chr", "a/b", "x/y")
    with pytest.raises(Invalid) as caught:
        pair.validate(
            Pair(near=End(("192.0.2.1",)), far=End(("10.0.0.1/33",)), mtu=67, queues=4097),
            PairState(),
        )
    reasons = caught.value.facts["reasons"]
    assert len(reasons) == 7
    for index, words in enumerate(
        ("a-name-of-16-chr", "a/b", "x/y", "mtu 67 is outside 68 to", "queues 4097", "192.0.2.1/32", "10.0.0.1/33")
    ):
        assert words in reasons[index]


def test_both_ends_need_names_of_their_own_in_one_namespace():
    with pytest.raises(Invalid, match="both 'lab0'"):
        VethPair("lab0", "lab0").validate(Pair(), PairState())
    VethPair("lab0", "lab0", "lab").validate(Pair(), PairState())
