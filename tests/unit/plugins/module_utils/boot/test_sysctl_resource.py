"""The kernel's variables: live, in our file, and restored."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_plan import warnings
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_request import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_resource import Sysctls
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_state import FILE, MARK
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Impossible,
    NotConverged,
    Refused,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    for name, value in {
        "net/core/netdev_budget": "300",
        "net/core/somaxconn": "4096",
        "net/ipv4/tcp_rmem": "4096\t131072\t6291456",
        "net/ipv4/conf/eth0.100/rp_filter": "0",
        "vm/nr_hugepages": "0",
        "kernel/version": "#1 SMP",
    }.items():
        path = made.path(f"/proc/sys/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n")
    made.path("/proc/sys/kernel/version").chmod(0o444)
    return made


def bring(host, check=False, **requested):
    desired = parse({name.replace("__", "."): value for name, value in requested.items()})
    return converge(Sysctls(desired), desired, host, check=check)


def live(host, path):
    return host.read(f"/proc/sys/{path}")


def test_values_are_set_saved_and_then_left_alone(host):
    outcome = bring(host, net__core__netdev_budget=600, net__ipv4__tcp_rmem="4096  87380 16777216")
    assert [change.path for change in outcome.changes] == [
        ("live", "net.core.netdev_budget"),
        ("live", "net.ipv4.tcp_rmem"),
        (FILE, "net.core.netdev_budget"),
        (FILE, "net.ipv4.tcp_rmem"),
    ]
    assert live(host, "net/core/netdev_budget") == "600"
    assert live(host, "net/ipv4/tcp_rmem") == "4096 87380 16777216"
    assert host.read(FILE).splitlines()[1:] == [
        "# before: net.core.netdev_budget = 300",
        "net.core.netdev_budget = 600",
        "# before: net.ipv4.tcp_rmem = 4096 131072 6291456",
        "net.ipv4.tcp_rmem = 4096 87380 16777216",
    ]
    assert not bring(host, net__core__netdev_budget=600, net__ipv4__tcp_rmem="4096 87380 16777216").changed


def test_blanks_of_the_kernel_are_no_difference(host):
    outcome = bring(host, net__ipv4__tcp_rmem="4096 131072 6291456")
    assert [change.path[0] for change in outcome.changes] == [FILE]


def test_a_value_that_is_right_but_not_saved_is_only_saved(host):
    assert [change.path[0] for change in bring(host, net__core__somaxconn=4096).changes] == [FILE]


def test_what_is_no_longer_requested_gets_its_original_value(host):
    bring(host, net__core__netdev_budget=600, net__core__somaxconn=8192)
    bring(host, net__core__somaxconn=8192)
    assert live(host, "net/core/netdev_budget") == "300"
    bring(host, net__core__somaxconn=9000)
    bring(host)
    assert live(host, "net/core/somaxconn") == "4096", "from before the first of two writes"
    assert not host.exists(FILE)
    assert not bring(host).changed


def test_what_somebody_else_set_since_stays(host):
    bring(host, net__core__netdev_budget=600)
    host.write_attribute("/proc/sys/net/core/netdev_budget", "450\n")
    bring(host)
    assert live(host, "net/core/netdev_budget") == "450"


def test_check_mode_writes_nothing(host):
    outcome = bring(host, check=True, net__core__netdev_budget=600)
    assert outcome.diff["after"] == {
        "live": {"net.core.netdev_budget": "600"},
        FILE: {"net.core.netdev_budget": "600"},
    }
    assert live(host, "net/core/netdev_budget") == "300"
    assert not host.exists(FILE)


def test_a_lost_file_is_written_again(host):
    bring(host, net__core__netdev_budget=600)
    host.remove(FILE)
    assert bring(host, net__core__netdev_budget=600).changed
    assert "net.core.netdev_budget = 600" in host.read(FILE)


def test_a_dot_within_a_part_finds_its_file(host):
    bring(host, **{"net/ipv4/conf/eth0.100/rp_filter": 2})
    assert live(host, "net/ipv4/conf/eth0.100/rp_filter") == "2"


def test_every_limit_is_reported_and_nothing_is_changed(host):
    with pytest.raises(Impossible) as caught:
        bring(host, net__core__netdev_budget=600, net__core__nope=1, kernel__version="2", vm__nr_hugepages=8)
    assert caught.value.facts["reasons"] == [
        "net.core.nope: this kernel has no such variable that can be read; check the name, or load its module first",
        "kernel.version is #1 SMP and can only be read, 2 is requested: leave it out",
        "vm.nr_hugepages is for the module hugepages, which knows of nodes: request it there",
    ]
    assert live(host, "net/core/netdev_budget") == "300"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("net.ipv4.conf.eth0.100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("net.ipv6.conf.eth9.7.mtu", "net/ipv6/conf/eth9.7/mtu"),
        ("net.ipv4.neigh.a.b.c.gc_stale_time", "net/ipv4/neigh/a.b.c/gc_stale_time"),
        ("fs.binfmt_misc.python3.11", "fs/binfmt_misc/python3.11"),
    ],
)
def test_a_dot_within_a_part_is_told_from_one_between_parts(host, name, form):
    host.write_atomically("/proc/sys/fs/binfmt_misc/python3.11", "enabled\n")
    with pytest.raises(Impossible, match=f"slashes part it: write {form}"):
        bring(host, **{name: 1})


def test_one_whose_parts_are_told_by_slashes_has_no_other_form(host):
    with pytest.raises(Impossible, match=r"eth0/100\.nosuch: this kernel has no such variable"):
        bring(host, **{"net/ipv4/conf/eth0.100/nosuch": 1})


def test_one_that_can_only_be_written_has_no_other_form():
    host = Host()
    assert host.exists("/proc/sys/vm/compact_memory")
    with pytest.raises(Impossible, match="check the name, or load its module first"):
        bring(host, check=True, vm__compact_memory=1)


def test_a_directory_is_no_variable(host):
    with pytest.raises(Impossible, match=r"net\.core: this kernel has no such variable"):
        bring(host, net__core=1)


def test_a_file_of_ours_without_variables_is_removed(host):
    host.write_atomically(FILE, f"{MARK}\n")
    assert [change.path for change in bring(host).changes] == [(FILE,)]
    assert not host.exists(FILE)


@pytest.mark.parametrize(
    ("number", "words"), [(13, "Permission denied: run as root (become: true)"), (16, "Device or resource busy")]
)
def test_a_write_that_fails_reports_also_what_it_could_not_restore(host, monkeypatch, number, words):
    real = Host.write_attribute

    def write(self, path, text):
        if text in ("8192", "300"):
            raise OSError(number, os.strerror(number))
        real(self, path, text)

    monkeypatch.setattr(Host, "write_attribute", write)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ApplyFailed) as caught:
        bring(host, net__core__netdev_budget=600, net__core__somaxconn=8192)
    assert str(caught.value) == (
        f"net.core.somaxconn = 8192: {words}; not restored: net.core.netdev_budget ({os.strerror(number)})"
    )


def test_a_file_of_somebody_else_is_left_alone(host):
    host.write_atomically(FILE, "net.core.somaxconn = 1\n")
    with pytest.raises(Refused, match="is not ours"):
        bring(host, net__core__netdev_budget=600)
    assert not bring(host).changed
    assert host.read(FILE) == "net.core.somaxconn = 1"


def test_a_refused_value_takes_back_those_before_it(host, monkeypatch):
    real = Host.write_attribute

    def write(self, path, text):
        if text == "8192":
            raise OSError(22, "Invalid argument")
        real(self, path, text)

    monkeypatch.setattr(Host, "write_attribute", write)
    with pytest.raises(
        ApplyFailed, match=r"somaxconn = 8192: the kernel does not take this value .*values are restored"
    ):
        bring(host, net__core__netdev_budget=600, net__core__somaxconn=8192)
    assert live(host, "net/core/netdev_budget") == "300"
    assert not host.exists(FILE)


def test_a_value_that_the_kernel_rounds_is_reported(host, monkeypatch):
    real = Host.write_attribute
    monkeypatch.setattr(Host, "write_attribute", lambda self, path, _text: real(self, path, "512"))
    with pytest.raises(NotConverged, match=r"netdev_budget: 512 -> 600"):
        bring(host, net__core__netdev_budget=600)


VALUE = "# net.core.netdev_budget = 1\n-net/core/netdev_budget=450\n"


@pytest.mark.parametrize("reader", ["systemd", "procps"])
@pytest.mark.parametrize(
    ("file", "reported"),
    [
        ("/etc/sysctl.d/99-local.conf", True),
        ("/run/sysctl.d/99-local.conf", True),
        ("/usr/local/lib/sysctl.d/61-local.conf", True),
        ("/usr/lib/sysctl.d/90-vendor.conf", True),
        ("/etc/sysctl.d/10-early.conf", False),
        ("/etc/sysctl.d/99-local.txt", False),
    ],
)
def test_a_file_that_is_read_later_and_differs_is_reported(host, reader, file, reported):
    boots_with(host, reader)
    host.write_atomically(file, VALUE)
    outcome = bring(host, net__core__netdev_budget=600)
    assert bool(warnings(outcome.state, {"net.core.netdev_budget": "600"})) is reported


def boots_with(host, reader):
    if reader == "systemd":
        host.path("/run/systemd/system").mkdir(parents=True)


@pytest.mark.parametrize(
    ("reader", "link", "words"),
    [
        ("procps", None, "/etc/sysctl.conf, which"),
        ("systemd", None, None),  # Debian 13
        ("systemd", "../sysctl.conf", "/etc/sysctl.conf (by /etc/sysctl.d/99-sysctl.conf), which"),  # Debian 12
        ("systemd", "/dev/null", None),
    ],
)
def test_sysctl_conf_counts_where_the_boot_reads_it(host, reader, link, words):
    boots_with(host, reader)
    host.write_atomically("/etc/sysctl.conf", VALUE)
    if link:
        host.path("/etc/sysctl.d").mkdir()
        host.path("/etc/sysctl.d/99-sysctl.conf").symlink_to(link)
    reported = warnings(bring(host, net__core__netdev_budget=600).state, {"net.core.netdev_budget": "600"})
    assert [line.startswith(words) for line in reported] == ([True] if words else [])


@pytest.mark.parametrize(("reader", "reported"), [("systemd", True), ("procps", False)])
def test_a_file_that_takes_a_variable_out_is_reported(host, reader, reported):
    boots_with(host, reader)
    host.write_atomically("/etc/sysctl.d/99-local.conf", "-net.core.netdev_budget\n")
    found = warnings(bring(host, net__core__netdev_budget=600).state, {"net.core.netdev_budget": "600"})
    assert any("so the next boot does not set it" in line for line in found) is reported


def test_the_last_of_several_counts_and_the_first_directory_of_one_name(host):
    host.write_atomically("/usr/lib/sysctl.d/80-a.conf", "net.core.netdev_budget = 1\n")
    host.write_atomically("/run/sysctl.d/80-a.conf", "net.core.netdev_budget = 2\n")
    host.write_atomically("/etc/sysctl.d/70-b.conf", "net.core.netdev_budget = 3\n")
    state = bring(host, net__core__netdev_budget=600).state
    assert state.later == {"net.core.netdev_budget": ("/run/sysctl.d/80-a.conf", "2")}


def test_other_variables_of_a_file_that_is_read_later_are_no_concern(host):
    host.write_atomically("/etc/sysctl.d/99-local.conf", "net.core.somaxconn = 1\n")
    assert bring(host, net__core__netdev_budget=600).state.later == {}


def test_a_file_hides_another_of_its_name(host):
    host.write_atomically("/usr/lib/sysctl.d/90-vendor.conf", "net.core.netdev_budget = 450\n")
    host.write_atomically("/etc/sysctl.d/90-vendor.conf", "")
    outcome = bring(host, net__core__netdev_budget=600)
    assert warnings(outcome.state, {"net.core.netdev_budget": "600"}) == []
