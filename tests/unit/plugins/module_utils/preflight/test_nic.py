"""XDP against NICs as they are and as they are declared to become, on recorded state of their drivers."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.findings import ERROR, INFO, WARNING
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import sessions
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqbalance as linux_irqbalance
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Feature
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import XdpState
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.irq_plan import Topology
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.resource import Nics
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import NicState
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight import nic as preflight_nic
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.nic import (
    Nic,
    NicSnapshot,
    Xdp,
    check_nics,
    check_xdp,
    read_nics,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "nic"
TWO_NODES = Topology((0, 1, 2, 3), nodes={0: (0, 1), 1: (2, 3)})
NATIVE = ("basic", "ndo-xmit", "redirect")


def nic(driver, xdp_features=NATIVE, foreign=(), iommu=None, features=None, mtu=1500, **declared):
    """Return a recorded NIC, ready for XDP but for what is said here."""
    state = NicState.from_json(json.loads((FIXTURES / f"{driver}.json").read_text(encoding="utf-8"))["nic"])
    known = {**state.settings.features, "rx-lro": Feature(False, False, True), **(features or {})}
    state = replace(state, link=replace(state.link, mtu=mtu), settings=replace(state.settings, features=known))
    request = parse({"name": state.name, **declared})
    return Nic(state, request, xdp_features, foreign, iommu)


def found(one, mode="native", cpus=4):
    return [(each.severity, each.found, each.limit) for each in check_xdp(Xdp(one.name, mode), one, cpus)]


@pytest.mark.parametrize("driver", ["igb", "vmxnet3", "veth", "ice", "mlx5_core"])
def test_a_nic_that_can_run_xdp_as_it_is_gives_no_finding(driver):
    assert found(nic(driver)) == []


@pytest.mark.parametrize(
    # Each limit was tried on the driver in a virtual machine: that MTU is accepted, the next one refused.
    ("driver", "most"),
    [("igb", 3046), ("vmxnet3", 3494), ("virtio_net", 3506)],
)
def test_the_mtu_is_held_against_the_drivers_limit(driver, most):
    def errors(one):
        return [(what, limit) for severity, what, limit in found(one) if severity == ERROR]

    assert errors(nic(driver, mtu=most)) == []
    assert errors(nic(driver, mtu=most + 1)) == [(f"MTU {most + 1}", f"at most {most} for driver {driver}")]


def test_what_is_declared_counts_and_not_what_is():
    jumbo = {"mtu": 9000, "features": {"rx-lro": Feature(True, True, True)}}
    assert [severity for severity, _found, _limit in found(nic("igb", **jumbo))] == [ERROR, ERROR]
    cured = nic("igb", mtu=9000, features=jumbo["features"])
    cured = replace(cured, declared=parse({"name": cured.name, "mtu": 1500, "features": {"lro": False}}))
    assert found(cured) == []
    spoilt = replace(nic("igb"), declared=parse({"name": "ens1", "mtu": 9000}))
    assert found(spoilt) == [(ERROR, "MTU 9000", "at most 3046 for driver igb")]


@pytest.mark.parametrize(
    ("driver", "changeable", "severities"),
    [("virtio_net", False, [ERROR]), ("virtio_net", True, []), ("mlx5_core", True, [ERROR]), ("igb", True, [])],
)
def test_hardware_gro_matters_where_it_stays_on(driver, changeable, severities):
    one = nic(driver, features={"rx-gro-hw": Feature(True, True, changeable)})
    assert [severity for severity, what, _limit in found(one) if "rx-gro-hw" in what] == severities


@pytest.mark.parametrize(
    ("driver", "declared", "finding"),
    [
        ("ena", {"channels": {"combined": 2}}, (ERROR, "2 of 2 channels", "half of them for driver ena")),
        ("ena", {"channels": {"combined": 1}}, None),
        ("ena", {"channels": {"combined": "max"}}, (ERROR, "2 of 2 channels", "half of them for driver ena")),
        ("ena", {"channels": {"combined": 99}}, (ERROR, "2 of 2 channels", "half of them for driver ena")),
        (
            "bnxt_en",
            {"channels": {"combined": 0, "rx": 4, "tx": 4}},
            (ERROR, "separate rx and tx channels", "combined ones for driver bnxt_en"),
        ),
        ("i40e", {"channels": {"combined": 2}}, (WARNING, "2 transmit queues for 4 CPUs", "one for each CPU that")),
        ("i40e", {"channels": {"combined": 4}}, None),
        ("virtio_net", {}, (INFO, "0 spare channels for 4 CPUs", "one for each CPU")),
    ],
)
def test_channels_are_held_against_what_the_driver_needs(driver, declared, finding):
    reported = found(nic(driver, **declared))
    if finding is None:
        assert reported == []
    else:
        ((severity, what, limit),) = reported
        assert (severity, what) == finding[:2]
        assert limit.startswith(finding[2])


def test_unequal_queues_are_refused_for_gve():
    one = nic("veth", channels={"rx": 1, "tx": 2})
    gve = replace(one, state=replace(one.state, settings=replace(one.state.settings, driver="gve")))
    assert (ERROR, "1 rx and 2 tx channels", "as many of both for driver gve") in found(gve)


@pytest.mark.parametrize(
    ("driver", "mode", "features", "severity", "words"),
    [
        ("igb", "native", (), ERROR, "without native XDP"),
        ("igb", "generic", (), None, ""),
        ("igb", "offload", NATIVE, ERROR, "runs no program on the NIC"),
        ("igb", "offload", (*NATIVE, "hw-offload"), None, ""),
        ("igb", "native", None, INFO, "cannot tell"),
        ("igb", "offload", None, ERROR, "runs no program on the NIC"),
        ("veth", "native", (), ERROR, "peer has more transmit queues"),
    ],
)
def test_the_driver_must_support_the_mode(driver, mode, features, severity, words):
    reported = found(nic(driver, xdp_features=features), mode)
    assert [one[0] for one in reported] == ([severity] if severity else [])
    assert all(words in one[1] for one in reported)


def test_a_program_of_others_is_in_the_way_in_every_mode():
    one = nic("igb", foreign=("xdp_dispatcher (id 7, native, by bpf_link 3)",))
    for mode in ("native", "generic"):
        assert found(one, mode)[0][:2] == (ERROR, "xdp_dispatcher (id 7, native, by bpf_link 3) is attached")


def test_a_program_below_a_device_that_decrypts_is_not_enough():
    one = nic("igb")
    upper = replace(one.state.link, index=99, name="macsec0", kind="macsec", parent=one.state.link.index)
    [finding] = found(replace(one, table=[one.state.link, upper]))
    assert finding[:2] == (ERROR, "a NIC whose frames macsec0 decrypts behind the program, which finds no IP in them")
    assert found(replace(one, table=[one.state.link, replace(upper, xdp=XdpState("generic", {"generic": 5}))])) == []


def warnings(*nics, session=(), irqbalance=None, vectors=200):
    seen = NicSnapshot(nics, session, TWO_NODES, irqbalance or linux_irqbalance.State(), vectors)
    return [(one.severity, one.subject, one.found) for one in check_nics([], seen)]


def test_an_operator_hears_what_is_worth_knowing():
    one = nic("igb", iommu="DMA-FQ", irq={"placement": "local"}, channels={"combined": 4})
    reported = warnings(one, session=[one.name], irqbalance=linux_irqbalance.State(command="/usr/sbin/irqbalance"))
    assert reported == [
        (INFO, f"interface {one.name}", "carries this session"),
        (INFO, f"interface {one.name}", "its IOMMU domain translates (DMA-FQ)"),
        (INFO, f"interface {one.name}", "4 queues, 2 CPUs on node 1"),
        (INFO, "irqbalance", "installed"),
    ]


def test_a_quiet_host_gives_no_warnings():
    assert warnings(nic("igb", iommu="identity"), irqbalance=linux_irqbalance.State(stray=True)) == []


def test_an_irqbalance_that_cannot_be_told_is_a_warning():
    one = nic("igb", irq={"placement": "local"}, channels={"combined": 2})
    ((severity, subject, _found),) = warnings(one, irqbalance=linux_irqbalance.State(stray=True))
    assert (severity, subject) == (WARNING, "irqbalance")


def test_vectors_are_counted_by_node():
    one = nic("igb", channels={"combined": 8})
    assert warnings(one, vectors=4) == []
    assert warnings(one, vectors=3) == [(WARNING, "IRQ vectors of node 1", "8 channels for CPUs 2-3")]
    assert warnings(one, vectors=0) == []


def test_nothing_is_read_where_nothing_is_asked(machine):
    assert read_nics(machine(), [], []) == NicSnapshot()


def test_an_interface_that_is_absent_is_left_to_others():
    seen = NicSnapshot([nic("igb")])
    assert list(check_nics([Xdp("nosuch0")], seen)) == []


def test_a_nic_that_cannot_be_read_is_left_to_the_nic_module(machine, monkeypatch):
    def refuse(_self, _host):
        raise Impossible("the NICs cannot be read")

    monkeypatch.setattr(Nics, "read", refuse)
    monkeypatch.setattr(netlink, "links", list)
    monkeypatch.setattr(sessions, "carriers", lambda _host, sessions: set())
    assert read_nics(machine(), [], [parse({"name": "ens1"})]).nics == []


def test_what_a_nic_has_no_channels_of_is_no_question():
    one = nic("igb", channels={"rx": 9})
    assert one.channels == {"combined": 4}
    without = replace(one, state=replace(one.state, settings=replace(one.state.settings, channels=None)))
    assert found(without) == []


def test_findings_of_xdp_come_with_the_others():
    one = nic("igb", mtu=9000, irq={"placement": "local"}, channels={"combined": 2})
    reported = list(check_nics([Xdp(one.name)], NicSnapshot([one], topology=TWO_NODES)))
    assert [(each.severity, each.subject) for each in reported] == [(ERROR, f"XDP on {one.name}")]


class Kernel:
    """What the kernel says of one recorded NIC, with a program of others on it."""

    def __init__(self, monkeypatch, one, features=frozenset(NATIVE)):
        attached = replace(one.state.link, xdp=XdpState("native", {"native": 7}))
        self.state = replace(one.state, link=attached)
        self.features = features
        other = replace(attached, index=attached.index + 1, name="other0")
        monkeypatch.setattr(netlink, "links", lambda: [attached, other])
        monkeypatch.setattr(netlink, "xdp_features", self.xdp_features)
        monkeypatch.setattr(preflight_nic, "read_nic", lambda _host, _link, _table: self.state)
        monkeypatch.setattr(sessions, "carriers", lambda _host, sessions: {"ens9"})
        monkeypatch.setattr(XdpProgram, "read", self.program)

    def xdp_features(self, _index):
        if isinstance(self.features, OSError):
            raise self.features
        return self.features

    def program(self, _host):
        return SimpleNamespace(foreign=["xdp_dispatcher (id 7)"])


def test_only_what_is_asked_for_is_read(machine, monkeypatch):
    one = nic("igb")
    Kernel(monkeypatch, one)
    host = machine(
        {"/sys/kernel/iommu_groups/3/type": "identity\n"},
        {f"/sys/bus/pci/devices/{one.state.pci}/iommu_group": "../../../../kernel/iommu_groups/3"},
    )
    (read,) = read_nics(host, [Xdp(one.name)], []).nics
    assert (read.name, read.iommu, read.foreign) == (one.name, "identity", ["xdp_dispatcher (id 7)"])
    assert read.xdp_features == sorted(NATIVE)


def test_one_that_vanishes_meanwhile_is_left_out(machine, monkeypatch):
    one = nic("igb")
    Kernel(monkeypatch, one, OSError(errno.ENODEV, "No such device"))
    assert read_nics(machine(), [Xdp(one.name)], []).nics == []
    Kernel(monkeypatch, one, OSError(errno.EPERM, "Operation not permitted"))
    with pytest.raises(OSError, match="not permitted"):
        read_nics(machine(), [Xdp(one.name)], [])


def test_who_may_not_ask_for_programs_hears_nothing_of_them(machine, monkeypatch):
    one = nic("igb")
    Kernel(monkeypatch, one, None)

    def refuse(_self, _host):
        raise Impossible("run as root")

    monkeypatch.setattr(XdpProgram, "read", refuse)
    (read,) = read_nics(machine(), [Xdp(one.name)], []).nics
    assert (read.foreign, read.xdp_features) == ([], None)


def test_a_declaration_finds_its_nic_however_it_is_named(machine, monkeypatch):
    one = nic("igb")
    Kernel(monkeypatch, one)
    request = parse({"pci": one.state.pci, "mtu": 9000})
    targets = SimpleNamespace(
        targets=[SimpleNamespace(name=one.name, request=request)], current=SimpleNamespace(nics={one.name: one.state})
    )
    monkeypatch.setattr(Nics, "read", lambda _self, _host: targets)
    (read,) = read_nics(machine(), [], [request]).nics
    assert read.mtu == 9000
