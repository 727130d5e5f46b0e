"""What is refused, with which words, on states as data."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf import Map, Program, XdpLink
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.drivers import LRO
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.state import Source

from .programs import BARE, DESIRED, DONE, FOREIGN, NEW, OLD, SOURCE, SPOILT, TRIE, on


@pytest.mark.parametrize(
    ("desired", "state", "kind", "words"),
    [
        (DESIRED, replace(BARE, link=None), Invalid, "interface ens1 does not exist; there are lo, ens1"),
        (DESIRED, replace(BARE, source=Source(error="object /o: gone")), Invalid, "object /o: gone"),
        (
            replace(DESIRED, sha256=OLD),
            BARE,
            Invalid,
            f"object /o has SHA-256 {NEW}, {OLD} is expected: copy the right object, or correct sha256",
        ),
        (
            DESIRED,
            replace(BARE, source=replace(SOURCE, programs=["a", "b"])),
            Invalid,
            "object /o holds the XDP programs a, b: name one with 'program'",
        ),
        (
            DESIRED,
            replace(BARE, source=replace(SOURCE, programs=[])),
            Invalid,
            "object /o holds no XDP program: name one with 'program'",
        ),
        (
            DESIRED,
            on(xdp_features=set()),
            Impossible,
            "driver igb without native XDP; needed: native XDP: choose mode generic",
        ),
        (DESIRED, on(xdp_features=set(), kind="veth"), Impossible, "the same number of queues on both ends"),
        (DESIRED, on(mtu=9000), Impossible, "MTU 9000; needed: at most 3046 for driver igb: "),
        (
            DESIRED,
            on(driver="ena", most_channels=4),
            Impossible,
            "4 of 4 channels; needed: half of them for driver ena",
        ),
        (DESIRED, on(merging={LRO: True}), Impossible, "'ethtool -K ens1 lro off'"),
        (DESIRED, replace(BARE, obstacles=["no BPF file system"]), Impossible, "no BPF file system"),
        (
            DESIRED,
            replace(BARE, attachments=[FOREIGN]),
            Refused,
            "someone (id 9, generic, by netlink) is attached and not ours: detach it with "
            "'ip link set dev ens1 xdpgeneric off', or set 'replace_foreign: true'",
        ),
        (
            DESIRED,
            replace(BARE, attachments=[replace(FOREIGN, link_id=8)]),
            Refused,
            "someone (id 9, generic, by bpf_link 8) is attached and not ours: detach it with its owner's tool, or "
            "'bpftool link detach id 8', or set 'replace_foreign: true'",
        ),
        (
            DESIRED,
            replace(BARE, attachments=[replace(FOREIGN, program=Program(9, "xdp_dispatcher", "", 6, ()))]),
            Refused,
            "'xdp-loader unload ens1 --all'",
        ),
        (
            DESIRED,
            replace(BARE, pinned_link=XdpLink(3, 5, 1), elsewhere="lo"),
            Refused,
            "the pins in /pins/ens1 hold interface lo (renamed?)",
        ),
        (
            DESIRED,
            replace(BARE, maps={"acl_v4": Map(11, "acl_v4", replace(TRIE, value_size=8, max_entries=9))}),
            Refused,
            "map acl_v4 does not fit the pinned one (value_size 8 -> 4, max_entries 9 -> 131072), whose entries would "
            "be lost: save them and set 'incompatible_maps: recreate', or keep the layout",
        ),
        (replace(DESIRED, present=False), replace(DONE, obstacles=["no libbpf"]), Impossible, "no libbpf"),
    ],
)
def test_what_stands_in_the_way_is_reported_with_its_remedy(desired, state, kind, words, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: 4096)
    with pytest.raises((Invalid, Impossible, Refused)) as raised:
        XdpProgram(desired).validate(desired, state)
    assert raised.type is kind
    assert words in str(raised.value)
    assert str(raised.value).startswith("ens1: nothing was changed: ")


def test_all_reasons_come_at_once():
    state = replace(
        BARE, obstacles=["no libbpf"], device=SPOILT, attachments=[FOREIGN], source=Source(error="no object")
    )
    with pytest.raises(Invalid) as raised:
        XdpProgram(DESIRED).validate(DESIRED, state)
    assert len(raised.value.facts["reasons"]) == 5


def test_what_runs_already_proves_that_it_can():
    XdpProgram(DESIRED).validate(DESIRED, replace(DONE, device=SPOILT))


@pytest.mark.parametrize(("driver", "offloads"), [("igb", False), (None, False), ("nfp", True)])
def test_a_kernel_that_cannot_tell_what_drivers_claim_offloads_to_those_that_are_known(driver, offloads):
    desired = replace(DESIRED, mode="offload")
    state = replace(BARE, device=replace(SPOILT, driver=driver, xdp_features=None))
    if offloads:
        XdpProgram(desired).validate(desired, state)
        return
    with pytest.raises(Impossible, match="runs no program on the NIC; needed: hw-offload"):
        XdpProgram(desired).validate(desired, state)


@pytest.mark.parametrize("mode", ["generic", "offload"])
def test_limits_of_the_driver_do_not_bind_other_modes(mode):
    state = replace(BARE, device=replace(SPOILT, xdp_features={"hw-offload"}))
    desired = replace(DESIRED, mode=mode)
    XdpProgram(desired).validate(desired, state)
