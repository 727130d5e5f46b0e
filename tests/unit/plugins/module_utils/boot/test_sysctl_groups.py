"""Variables that are not independent: counterparts, switches for several, and those that go one way only."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import reapply as agent
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_plan import warnings
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_resource import Sysctls, reapply, saved
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_state import FILE
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Incomplete,
    Invalid,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host

BEFORE = {
    "vm.dirty_bytes": "0",
    "vm.dirty_ratio": "20",
    "vm.dirty_background_bytes": "0",
    "vm.dirty_background_ratio": "10",
    "vm.overcommit_kbytes": "0",
    "vm.overcommit_ratio": "50",
    "kernel.watchdog": "1",
    "kernel.nmi_watchdog": "0",
    "kernel.soft_watchdog": "1",
    "kernel.kexec_load_disabled": "0",
    "vm.swappiness": "60",
}
PAIRS = {"vm.dirty_bytes": "vm.dirty_ratio", "vm.dirty_background_bytes": "vm.dirty_background_ratio"}
PAIRS = {**PAIRS, "vm.overcommit_kbytes": "vm.overcommit_ratio"}
LEAST = {"vm.dirty_bytes": 8192, "vm.dirty_background_bytes": 1}


class Kernel(Host):
    """Files that do what mm/page-writeback.c, mm/util.c, kernel/watchdog.c and kernel/kexec_core.c do on a write."""

    def put(self, name, value):
        path = self.path(f"/proc/sys/{name.replace('.', '/')}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    def live(self, name):
        return self.read(f"/proc/sys/{name.replace('.', '/')}")

    def write_attribute(self, path, text):
        name, value = path.removeprefix("/proc/sys/").replace("/", "."), int(text)
        others = {**PAIRS, **{other: one for one, other in PAIRS.items()}}
        one_way = name == "kernel.kexec_load_disabled" and value == 0 and self.live(name) == "1"
        if value < LEAST.get(name, 0) or one_way or (name.endswith("_ratio") and value > 100):
            raise OSError(22, "Invalid argument")
        if name in others and self.live(name) != str(value):
            self.put(others[name], 0)
        self.put(name, value)
        if name == "kernel.watchdog":
            self.put("kernel.nmi_watchdog", value)
            self.put("kernel.soft_watchdog", value)
        elif name in ("kernel.nmi_watchdog", "kernel.soft_watchdog"):
            self.put(
                "kernel.watchdog", int("1" in (self.live("kernel.nmi_watchdog"), self.live("kernel.soft_watchdog")))
            )


@pytest.fixture
def host(tmp_path):
    made = Kernel(tmp_path)
    for name, value in BEFORE.items():
        made.put(name, value)
    return made


def bring(host, check=False, **requested):
    desired = parse({name.replace("__", "."): value for name, value in requested.items()})
    resource = Sysctls(desired)
    return converge(resource, desired, host, check=check), resource


def all_live(host):
    return {name: host.live(name) for name in BEFORE}


@pytest.mark.parametrize(("one", "other"), PAIRS.items())
class TestCounterparts:
    def test_from_one_to_the_other_and_back_and_away(self, host, one, other):
        bring(host, **{one: 400000})
        assert (host.live(one), host.live(other)) == ("400000", "0")
        outcome, _resource = bring(host, **{other: 15})
        assert outcome.changes[0].path == ("live", other)
        assert (host.live(one), host.live(other)) == ("0", "15")
        bring(host, **{one: 500000})
        assert not bring(host, **{one: 500000})[0].changed
        bring(host)
        assert all_live(host) == BEFORE
        assert not host.exists(FILE)

    def test_what_is_dropped_gets_its_counterpart_back(self, host, one, other):
        bring(host, **{one: 400000})
        bring(host)
        assert all_live(host) == BEFORE
        bring(host, **{other: 15})
        bring(host, vm__swappiness=10)
        assert all_live(host) == {**BEFORE, "vm.swappiness": "10"}

    def test_a_host_that_used_the_first_gets_that_back(self, host, one, other):
        host.write_attribute(f"/proc/sys/{one.replace('.', '/')}", "300000")
        bring(host, **{other: 15})
        bring(host)
        assert (host.live(one), host.live(other)) == ("300000", "0")

    def test_a_file_of_an_earlier_release_knows_no_counterpart_and_the_kernel_s_default_serves(self, host, one, other):
        bring(host, **{one: 400000})
        host.write_atomically(FILE, host.read(FILE).replace(f"# before: {other} = {BEFORE[other]}\n", "") + "\n")
        bring(host)
        assert all_live(host) == BEFORE

    def test_both_at_once_are_refused_and_named(self, host, one, other):
        with pytest.raises(Invalid, match=f"{one} and {other} exclude each other"):
            bring(host, **{one: 400000, other: 15})

    def test_a_later_file_with_the_counterpart_is_reported(self, host, one, other):
        host.write_atomically("/etc/sysctl.d/99-local.conf", f"{other} = 30\n")
        outcome, resource = bring(host, **{one: 400000})
        [warning] = warnings(outcome.state, {one: "400000"})
        assert f"sets {other}, which excludes {one}" in warning
        assert resource.warnings == []

    def test_a_refusal_takes_back_what_was_before_and_reads_it(self, host, one, other):
        bring(host, **{one: 400000})
        text = host.read(FILE)
        # The second of the two is refused, as it is no percentage.
        with pytest.raises(ApplyFailed, match="the previous values are restored"):
            bring(host, **{other: 15, "vm.dirty_ratio" if other != "vm.dirty_ratio" else "vm.overcommit_ratio": 200})
        assert (host.live(one), host.live(other)) == ("400000", "0")
        assert host.read(FILE) == text


def test_what_is_not_back_is_not_called_so(host):
    class Forgetful(Kernel):
        def write_attribute(self, path, text):
            if text != "60":  # taken, and not done
                super().write_attribute(path, text)

    host = Forgetful(host.root)
    with pytest.raises(ApplyFailed, match=r"not restored: vm\.swappiness \(is 10, was 60\)"):
        bring(host, vm__swappiness=10, vm__dirty_ratio=200)


def test_a_switch_for_several_comes_first_and_all_come_back(host):
    outcome, _resource = bring(host, kernel__soft_watchdog=0, kernel__nmi_watchdog=1, kernel__watchdog=1)
    assert outcome.changed
    names = ("kernel.watchdog", "kernel.nmi_watchdog", "kernel.soft_watchdog")
    assert [host.live(name) for name in names] == ["1", "1", "0"]
    settings = [line for line in host.read(FILE).splitlines() if not line.startswith("#")]
    assert settings[0] == "kernel.watchdog = 1", "the reader at boot takes them in this order"
    bring(host)
    assert all_live(host) == BEFORE
    bring(host, kernel__watchdog=0)
    assert [host.live(name) for name in names] == ["0", "0", "0"]
    bring(host)
    assert all_live(host) == BEFORE


def test_one_that_goes_one_way_fails_no_run_for_ever(host):
    bring(host, kernel__kexec_load_disabled=1, vm__swappiness=10)
    _outcome, resource = bring(host)
    assert resource.warnings == [
        "kernel.kexec_load_disabled stays 1, and is not restored to 0: the kernel does not take this value "
        "(Invalid argument); a reboot resets it"
    ]
    assert host.live("vm.swappiness") == "60"
    assert not host.exists(FILE)
    assert not bring(host)[0].changed


@pytest.mark.parametrize(
    ("requested", "reason"),
    [
        ({"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.forwarding": 0}, "are two names of one value"),
        ({"net.nf_conntrack_max": 1, "net.netfilter.nf_conntrack_max": 2}, "are two names of one value"),
        (
            {"net.ipv4.neigh.default.retrans_time": 100, "net.ipv4.neigh.default.retrans_time_ms": 1000},
            "are one value in two units",
        ),
    ],
)
def test_two_names_of_one_value_are_refused(requested, reason):
    with pytest.raises(Invalid, match=reason):
        parse(requested)


def test_two_names_of_one_value_may_agree():
    assert len(parse({"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.forwarding": 1})) == 2


def test_originals_are_saved_before_the_first_write(host, monkeypatch):
    def killed(*_words):
        raise KeyboardInterrupt

    real = Kernel.write_attribute
    monkeypatch.setattr(Kernel, "write_attribute", lambda self, path, text: (real(self, path, text), killed()))
    with pytest.raises(KeyboardInterrupt):
        bring(host, vm__dirty_bytes=400000)
    monkeypatch.setattr(Kernel, "write_attribute", real)
    assert host.live("vm.dirty_ratio") == "0"
    assert saved(host) is None, "it is not requested yet"
    bring(host)
    assert all_live(host) == BEFORE
    assert not host.exists(FILE)


def test_a_later_file_that_agrees_is_no_warning(host):
    host.write_atomically("/etc/sysctl.d/99-local.conf", "vm.swappiness = 10\nvm.overcommit_ratio = 50\n")
    desired = parse({"vm.swappiness": 10})
    assert warnings(Sysctls(desired).read(host), desired) == []


def test_what_a_switch_changed_along_with_it_is_undone_too(host, monkeypatch):
    real = Kernel.write_attribute

    def write(self, path, text):
        if path.endswith("swappiness"):
            raise OSError(16, "Device or resource busy")
        real(self, path, text)

    monkeypatch.setattr(Kernel, "write_attribute", write)
    with pytest.raises(ApplyFailed, match="the previous values are restored"):
        bring(host, kernel__watchdog=0, vm__swappiness=10)
    assert all_live(host) == BEFORE
    assert not host.exists(FILE)


class TestEachIsSetAsFarAsItCanBe:
    """At a reapply: systemd's reader set what it could."""

    def test_one_that_is_refused_or_not_there_spoils_no_other(self, host):
        body = {"variables": {"vm.dirty_ratio": "200", "net.nope": "1", "vm.swappiness": "10"}}
        with pytest.raises(Incomplete) as caught:
            reapply(body, host)
        assert list(caught.value.failures) == ["live net.nope", "live vm.dirty_ratio"]
        assert [change.path for change in caught.value.outcome.changes] == [("live", "vm.swappiness")]
        assert host.live("vm.swappiness") == "10"

    def test_the_agent_reads_our_file_and_says_degraded(self, host):
        bring(host, vm__swappiness=10, vm__dirty_ratio=15)
        assert [one.state for one in agent.reapply(host, check=True)] == ["converged"]
        host.put("vm.dirty_ratio", 20)
        host.path("/proc/sys/vm/swappiness").unlink()
        [result] = agent.reapply(host, check=True)
        assert (result.kind, result.state) == ("sysctl", "degraded")
        assert list(result.failures) == ["live vm.swappiness"]
        agent.reapply(host)
        assert host.live("vm.dirty_ratio") == "15"
        host.put("vm.swappiness", 60)
        agent.reapply(host)
        assert host.live("vm.swappiness") == "10", "tried again"
        assert [one.state for one in agent.reapply(host, check=True)] == ["converged"]

    def test_what_a_later_file_sets_is_left_to_it(self, host):
        bring(host, vm__swappiness=10)
        host.write_atomically("/etc/sysctl.d/99-local.conf", "vm.swappiness = 30\n")
        host.put("vm.swappiness", 30)
        assert [one.state for one in agent.reapply(host)] == ["converged"]
        assert host.live("vm.swappiness") == "30"

    def test_what_the_kernel_takes_and_does_not_do_is_named(self, host, monkeypatch):
        monkeypatch.setattr(Kernel, "write_attribute", lambda self, path, text: None)
        with pytest.raises(Incomplete) as caught:
            reapply({"variables": {"vm.swappiness": "10"}}, host)
        assert caught.value.failures == {
            "live vm.swappiness": "live vm.swappiness: 60 -> 10: accepted, and read back as before"
        }
        assert caught.value.outcome.changes == []

    def test_for_an_interface_nothing_is_done(self, host):
        assert not reapply({"variables": {"vm.swappiness": "10"}}, host, only=["ens1"]).changed
