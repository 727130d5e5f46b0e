"""NICs brought to their requests: each for itself, a setting with one owner, originals that outlive a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Change,
    Impossible,
    Incomplete,
    Invalid,
    converge,
    describe,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool import Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import resource
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse_all
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state_file import forgetting

from .cards import Cards
from .nics import nic


@pytest.mark.parametrize(
    ("path", "through_the_driver"),
    [
        (("ens1", "rings", "rx"), True),
        (("ens1", "up"), True),
        (("ens1", "irq", "ens1-TxRx-0"), False),
        (("ens1", "xps", "tx-0"), False),
        (("irqbalance", "banned"), False),
        (("host", "rps_sock_flow_entries"), False),
        (("state file", "nic"), False),
    ],
)
def test_only_what_goes_through_a_driver_is_guarded(path, through_the_driver):
    assert resource.is_setting(Change(path, None, 1)) is through_the_driver


def card(name, index, pci, **link):
    found, mac = nic("igb"), f"52:54:00:00:00:{index:02x}"
    link = replace(found.link, name=name, index=index, mac=mac, permanent_mac=mac, **link)
    irqs = tuple(replace(one, number=one.number + 100 * index) for one in found.irqs)
    return replace(found, link=link, pci=pci, irqs=irqs)


@pytest.fixture
def cards(machine, monkeypatch):
    both = card("ens1", 6, "0000:81:00.0"), card("ens2", 7, "0000:82:00.0")
    return Cards(machine().root, monkeypatch, *both)


@pytest.fixture
def bonded(machine, monkeypatch):
    members = [card(name, index, f"0000:8{index}:00.0", master=9) for name, index in (("ens1", 1), ("ens2", 2))]
    bond = card("bond0", 9, None, kind="bond")
    bond = replace(bond, irqs=(), settings=Settings(driver="bonding"))
    return Cards(machine().root, monkeypatch, *members, bond)


def saved(cards):
    found = state_store.load(cards.host, "nic")
    return found.body if found else {}


def lines(outcome):
    return [describe(change) for change in outcome.changes]


PLAN = {"up": True, "mtu": 9000, "rings": {"rx": 512, "tx": 512}, "irq": {"placement": "local"}}
HALF = {"name": "ens1", "rings": {"rx": 512}, "coalesce": {"rx_usecs": 100}}


class TestEachIsBroughtAsFarAsItCanBe:
    @pytest.fixture
    def body(self, cards):
        return {
            "nics": {
                "0000:81:00.0": {"name": "ens1", "pci": "0000:81:00.0", **PLAN},
                "0000:82:00.0": {"name": "ens2", "pci": "0000:82:00.0", **PLAN},
            }
        }

    def failing(self, cards, body, **more):
        with pytest.raises(Incomplete) as caught:
            resource.reapply(body, cards.host, **more)
        return caught.value

    def close_all(self, cards):
        for name, one in cards.nics.items():
            cards.nics[name] = replace(one, link=replace(one.link, up=False, carrier=False))

    def test_an_offline_cpu_of_one_nic_leaves_no_other_down(self, cards, body):
        self.close_all(cards)
        body["nics"]["0000:81:00.0"]["irq"] = {"cpus": "40"}
        error = self.failing(cards, body)
        assert list(error.failures) == ["ens1"]
        assert "ens1: irq.cpus names CPUs 40, which are not online" in error.failures["ens1"]
        for name in ("ens1", "ens2"):
            assert cards.nics[name].link.up, f"{name} is up, with all that can be met"
            assert cards.nics[name].link.mtu == 9000
            assert cards.rings(name) == {"rx": 512, "tx": 512}
        assert {irq.cpus for irq in cards.nics["ens2"].irqs if irq.queue is not None} <= {
            frozenset([cpu]) for cpu in range(8, 16)
        }

    @pytest.mark.parametrize(
        ("spoiled", "reason"),
        [
            ({"channels": {"combined": 64}}, "64 combined channels > hardware maximum 8"),
            ({"private_flags": {"nosuch": True}}, "igb has no private flags nosuch"),
            ({"rings": {"rx": "many"}}, "correct it in /etc/tripod/host.d/nic.json"),
        ],
    )
    def test_whatever_cannot_be_met_is_named_and_spoils_nothing_else(self, cards, body, spoiled, reason):
        body["nics"]["0000:81:00.0"].update(spoiled)
        error = self.failing(cards, body)
        assert list(error.failures) == ["ens1"]
        assert reason in error.failures["ens1"]
        assert cards.rings("ens2") == {"rx": 512, "tx": 512}
        assert {change.path[0] for change in self.failing(cards, body, check=True).outcome.changes} <= {"ens1"}

    def test_a_nic_that_cannot_be_read_spoils_nothing_else(self, cards, body):
        cards.unreadable["ens1"] = Impossible("ens1: Input/output error")
        error = self.failing(cards, body)
        assert error.failures == {"ens1": "ens1 cannot be read: ens1: Input/output error"}
        assert cards.rings("ens2") == {"rx": 512, "tx": 512}

    def test_what_a_driver_refuses_is_named_and_the_rest_of_that_nic_is_set(self, cards, body):
        cards.refuses["ens1", "rings", "rx"] = "Invalid argument"
        error = self.failing(cards, body)
        assert error.failures == {"ens1": "ens1: rings: Invalid argument"}
        assert cards.rings("ens1") == {"rx": 256, "tx": 512}
        assert cards.nics["ens1"].link.mtu == 9000
        assert ("ens1", "rings", "rx") not in [change.path for change in error.outcome.changes]
        assert ("ens1", "rings", "tx") in [change.path for change in error.outcome.changes]
        cards.refuses.clear()
        assert lines(resource.reapply(body, cards.host)) == ["ens1 rings rx: 256 -> 512"]

    def test_what_a_driver_takes_and_does_not_do_is_named(self, cards, body):
        cards.ignores.add(("ens2", "mtu", "mtu"))
        error = self.failing(cards, body)
        assert error.failures == {"ens2": "ens2 mtu: 1500 -> 9000: accepted, and read back as before"}
        assert cards.nics["ens1"].link.mtu == 9000

    def test_a_failure_of_another_interface_is_not_that_of_this_one(self, cards, body):
        body["nics"]["0000:81:00.0"]["rings"] = {"rx": 100000}
        assert {one.path[0] for one in resource.reapply(body, cards.host, only=["ens2"]).changes} == {"ens2"}
        assert list(self.failing(cards, body, only=["ens1"]).failures) == ["ens1"]


class TestOnlyWhatIsListedIsCompared:
    def test_another_nic_that_is_down_does_not_fail_a_run(self, cards):
        cards.bring({"name": "ens2", "up": True, "irq": {"placement": "local"}})
        cards.nics["ens2"] = replace(
            cards.nics["ens2"], irqs=(), link=replace(cards.nics["ens2"].link, up=False, carrier=False)
        )
        assert lines(cards.bring({"name": "ens1", "mtu": 9000}))[0] == "ens1 mtu: 1500 -> 9000"
        assert cards.bring({"name": "ens1", "mtu": 9000}).changes == []

    def test_nor_does_one_whose_cpus_went_offline_or_that_cannot_be_read(self, cards):
        cards.bring({"name": "ens2", "irq": {"cpus": "31"}})
        cards.topology = replace(cards.topology, online=list(range(31)))
        cards.bring({"name": "ens1", "mtu": 9000, "irq": {"placement": "local"}})
        cards.unreadable["ens2"] = Impossible("ens2: Input/output error")
        cards.bring({"name": "ens1", "mtu": 1500})
        assert "0000:82:00.0" in saved(cards)["nics"]
        with pytest.raises(Impossible, match="Input/output error"):
            cards.bring({"name": "ens2", "mtu": 1500})

    def test_nor_one_whose_interrupts_do_not_move(self, cards, monkeypatch):
        cards.bring({"name": "ens1", "irq": {"placement": "local"}})
        first = cards.nics["ens1"].irqs[1].cpus
        real = cards.move
        stubborn = {irq.number for irq in cards.nics["ens1"].irqs}
        monkeypatch.setattr(irqs, "move", lambda host, irq, cpus: irq.number in stubborn or real(host, irq, cpus))
        # A slot before that of the other chooses its CPUs first.
        cards.nics["ens2"] = replace(cards.nics["ens2"], pci="0000:01:00.0")
        cards.bring({"name": "ens2", "channels": {"combined": 4}, "irq": {"placement": "local"}})
        assert cards.nics["ens1"].irqs[1].cpus == first


class TestASettingHasOneOwner:
    def test_a_bond_takes_over_what_its_member_was_requested_with(self, bonded):
        bonded.bring({"name": "ens1", "rings": {"rx": 512, "tx": 512}, "features": {"gro": False}, "txqueuelen": 500})
        outcome = bonded.bring({"name": "bond0", "rings": {"rx": 1024}})
        assert bonded.rings("ens1") == {"rx": 1024, "tx": 512}
        assert bonded.rings("ens2")["rx"] == 1024
        body = saved(bonded)
        own = body["nics"]["0000:81:00.0"]
        assert (own["rings"], own["features"], own["txqueuelen"]) == ({"tx": 512}, {"gro": False}, 500)
        assert outcome.changes
        assert bonded.bring({"name": "bond0", "rings": {"rx": 1024}}).changes == []
        assert resource.reapply(body, bonded.host).changes == [], "the next boot sets the same"

    def test_a_member_that_is_requested_later_goes_before_its_bond(self, bonded):
        bonded.bring({"name": "bond0", "rings": {"rx": 1024}})
        bonded.bring({"name": "ens1", "rings": {"rx": 512}})
        assert (bonded.rings("ens1")["rx"], bonded.rings("ens2")["rx"]) == (512, 1024)
        assert resource.reapply(saved(bonded), bonded.host).changes == []
        bonded.bring({"name": "ens1", "state": "absent"})
        assert bonded.rings("ens1")["rx"] == 1024, "the bond's request still speaks for it"
        bonded.bring({"name": "bond0", "state": "absent"})
        assert bonded.rings("ens1")["rx"] == bonded.rings("ens2")["rx"] == 256
        assert saved(bonded) == {}

    def test_an_own_request_that_is_wholly_taken_over_is_forgotten_and_said(self, bonded):
        bonded.bring({"name": "ens1", "rings": {"rx": 512}})
        requests = parse_all([{"name": "bond0", "rings": {"rx": 1024}}])
        found = resource.Nics(requests)
        converge(found, requests, bonded.host)
        assert list(saved(bonded)["nics"]) == ["bond0"]
        assert saved(bonded)["original"]["0000:81:00.0"] == {"rings": {"rx": 256}}
        assert found.warnings == [
            "ens1: rings.rx requested of it by itself before is replaced by that of its bond",
        ]

    def test_one_list_with_both_is_refused_and_names_both(self, bonded):
        with pytest.raises(Invalid, match=r"ens1 is requested 2 times.*bond0, whose member it is and name ens1"):
            bonded.bring({"name": "bond0", "rings": {"rx": 1024}}, {"name": "ens1", "rings": {"rx": 512}})

    def test_a_state_file_with_both_is_reapplied(self, bonded):
        body = {
            "nics": {
                "0000:81:00.0": {"name": "ens1", "pci": "0000:81:00.0", "rings": {"rx": 512}},
                "bond0": {"name": "bond0", "rings": {"rx": 1024}},
            }
        }
        resource.reapply(body, bonded.host)
        assert (bonded.rings("ens1")["rx"], bonded.rings("ens2")["rx"]) == (512, 1024)


class TestARunThatFailsHalfWay:
    @pytest.fixture
    def failed(self, cards):
        cards.refuses["ens1", "coalesce", "rx_usecs"] = "Invalid argument"
        with pytest.raises(ApplyFailed) as caught:
            cards.bring(HALF)
        return caught.value

    def test_says_what_stands(self, cards, failed):
        assert str(failed) == (
            "ens1: coalesce: Invalid argument; what was changed before stands: ens1 rings rx: 256 -> 512; "
            "the original values are saved, and state: absent restores them"
        )
        assert failed.facts["stands"] == ["ens1 rings rx: 256 -> 512"]
        assert cards.rings("ens1")["rx"] == 512

    def test_saves_the_originals_and_not_the_request(self, cards, failed):
        assert saved(cards) == {"original": {"0000:81:00.0": {"rings": {"rx": 256}, "coalesce": {"rx_usecs": 3}}}}
        assert resource.reapply(saved(cards), cards.host).changes == []

    @pytest.mark.parametrize("everything", [False, True])
    def test_can_be_taken_back(self, cards, failed, everything):
        requests = forgetting(cards.host) if everything else parse_all([{"name": "ens1", "state": "absent"}])
        converge(resource.Nics(requests), requests, cards.host)
        assert cards.rings("ens1")["rx"] == 256
        assert saved(cards) == {}

    def test_can_be_corrected_and_taken_back(self, cards, failed):
        cards.refuses.clear()
        cards.bring({**HALF, "coalesce": {"rx_usecs": 10}})
        cards.bring({"name": "ens1", "state": "absent"})
        assert cards.rings("ens1")["rx"] == 256
        assert cards.nics["ens1"].settings.coalesce["rx_usecs"] == 3

    def test_of_which_nothing_was_done_says_so(self, cards):
        cards.refuses["ens1", "rings", "rx"] = "Invalid argument"
        with pytest.raises(ApplyFailed, match="rings: Invalid argument; nothing was changed"):
            cards.bring(HALF)

    def test_a_full_disk_stops_it_before_the_first_step(self, cards, monkeypatch):
        def full(*_words, **_more):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Host, "write_atomically", full)
        with pytest.raises(ApplyFailed, match="No space left on device; nothing was changed"):
            cards.bring(HALF)
        assert cards.sent == []

    def test_one_that_is_gone_meanwhile_can_be_forgotten(self, cards, failed):
        del cards.nics["ens1"]
        requests = forgetting(cards.host)
        converge(resource.Nics(requests), requests, cards.host)
        assert saved(cards) == {}


def test_an_original_that_cannot_be_had_any_more_does_not_keep_the_others_from_being_restored(cards):
    first = {irq.number: frozenset([31]) for irq in cards.nics["ens1"].irqs}
    moved = tuple(replace(irq, cpus=first[irq.number]) for irq in cards.nics["ens1"].irqs)
    cards.nics["ens1"] = replace(cards.nics["ens1"], irqs=moved)
    cards.bring({"name": "ens1", "rings": {"rx": 512}, "irq": {"placement": "local"}})
    cards.topology = replace(cards.topology, online=list(range(31)))
    requests = parse_all([{"name": "ens1", "state": "absent"}])
    found = resource.Nics(requests)
    converge(found, requests, cards.host)
    assert cards.rings("ens1")["rx"] == 256
    assert saved(cards) == {}
    [warning] = found.warnings
    assert warning.startswith("ens1: not restored: ens1: irq.other names CPUs 31, which are not online")
