"""Which part of a request is whose, and which NIC it means."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.request import Irq, Request


def test_a_bond_takes_what_is_of_links_and_its_members_the_rest():
    request = parse(
        {
            "name": "ens1",
            **{"mtu": 9000, "up": True, "txqueuelen": 1},
            **{"rings": {"rx": 512}, "irq": {"placement": "local"}, "xps": "auto"},
        }
    )
    assert request.of_link() == Request(name="ens1", mtu=9000, up=True, txqueuelen=1)
    assert request.of_hardware() == Request(name="ens1", rings={"rx": 512}, irq=Irq(), xps="auto")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(name="ens1", pci="0000:81:00.0"), "name ens1, pci 0000:81:00.0"),
        (Request(mac="52:54:00:12:34:56"), "mac 52:54:00:12:34:56"),
        (Request(), "a NIC without name, pci or mac"),
    ],
)
def test_a_request_says_which_nic_it_means(request_, words):
    assert str(request_) == words
