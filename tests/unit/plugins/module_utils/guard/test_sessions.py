"""Who is connected how, on recorded process trees, and what carries a session, on recorded links."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._guard import sessions
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.sessions import LOCAL, SSH, UNKNOWN, Session, Ssh
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import linkstate, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink import Link, XdpState

Process = tuple[str, list[str], list[str]]  # name, arguments, environment

CONNECTION = "192.0.2.1 40001 192.0.2.10 22"
ENDS = Ssh("192.0.2.1", 40001, "192.0.2.10", 22)


def tree(machine, *processes):
    """Return a machine with a chain of processes (name, arguments, variables), and the id of the last, the module."""
    files = {}
    for number, (name, arguments, variables) in enumerate(processes, start=1):
        files[f"/proc/{number}/stat"] = f"{number} ({name}) S {number - 1} {number} 0 0\n"
        files[f"/proc/{number}/cmdline"] = "\0".join(arguments) + "\0"
        files[f"/proc/{number}/environ"] = "\0".join(variables) + "\0"
    return machine(files), len(processes)


INIT: Process = ("systemd", ["/sbin/init"], [])
SSHD: Process = ("sshd", ["sshd: /usr/sbin/sshd -D"], [])
SHELL = ("sh", ["/bin/sh", "-c", "sudo ..."], ["PATH=/bin", f"SSH_CONNECTION={CONNECTION}"])
SUDO = ("sudo", ["sudo", "-H", "-S", "-n"], ["PATH=/bin", f"SSH_CONNECTION={CONNECTION}"])
MODULE = ("python3", ["/usr/bin/python3", "/var/tmp/ansible-1/AnsiballZ_nic.py"], ["PATH=/bin"])
DIRECT = ("python3", MODULE[1], ["PATH=/bin", f"SSH_CONNECTION={CONNECTION}"])


def controller(*arguments):
    return ("ansible-playboo", list(arguments), [f"SSH_CONNECTION={CONNECTION}"])


@pytest.mark.parametrize(
    ("processes", "session"),
    [
        pytest.param([INIT, SSHD, SHELL, DIRECT], Session(SSH, ENDS), id="as root"),
        pytest.param([INIT, SSHD, SHELL, SUDO, MODULE], Session(SSH, ENDS), id="by sudo"),
        pytest.param(
            [INIT, ("sshd-session", ["sshd-session: admin"], []), SHELL, MODULE], Session(SSH, ENDS), id="OpenSSH 9.8"
        ),
        pytest.param([INIT, SSHD, MODULE], Session(SSH), id="sshd that says nothing"),
        pytest.param(
            [INIT, SSHD, SHELL, controller("/usr/bin/python3", "/usr/bin/ansible-playbook", "site.yml"), DIRECT],
            Session(LOCAL),
            id="controller here, operator elsewhere",
        ),
        pytest.param(
            [INIT, controller("/opt/venv/bin/ansible", "localhost"), SUDO, MODULE], Session(LOCAL), id="ad hoc here"
        ),
        pytest.param([INIT, MODULE], Session(UNKNOWN), id="detached and by sudo"),
        pytest.param([INIT, DIRECT], Session(SSH, ENDS), id="detached"),
        pytest.param(
            [INIT, ("python3", MODULE[1], ["SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535"])],
            Session(SSH),
            id="no socket behind sshd",
        ),
        pytest.param(
            [INIT, ("a) R 7 (b", ["x"], []), SSHD, SHELL, MODULE], Session(SSH, ENDS), id="a name made to mislead"
        ),
    ],
)
def test_the_session_of_a_process(machine, processes, session):
    host, pid = tree(machine, *processes)
    assert sessions.current(host, pid) == session


def test_an_environment_that_may_not_be_read_is_passed_over(machine, monkeypatch):
    host, pid = tree(machine, INIT, SSHD, SHELL, MODULE)
    read = host.read

    def refuse(path):
        if path == "/proc/4/environ":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(host, "read", refuse)
    assert sessions.current(host, pid) == Session(SSH, ENDS)


def link(index, name, **more):
    return Link(index, name, True, "", 1500, 1, 1, XdpState(), **more)


TABLE = [
    link(1, "lo"),
    link(2, "ens1", master=4),
    link(3, "ens2", master=4),
    link(4, "bond0", kind="bond", master=6),
    link(5, "bond0.7", kind="vlan", parent=4),
    link(6, "br0", kind="bridge"),
    link(7, "ens3"),
    link(8, "ens3v0"),
    link(9, "veth0", kind="veth", parent=10),
    link(10, "veth1", kind="veth", parent=9),
]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (set(), set()),
        ({"ens3"}, {"ens3"}),
        ({"br0"}, {"br0", "bond0", "ens1", "ens2"}),
        ({"bond0.7"}, {"bond0.7", "bond0", "ens1", "ens2"}),
        ({"ens1"}, {"ens1"}),
        ({"ens3v0"}, {"ens3v0", "ens3"}),
        ({"veth0"}, {"veth0"}),
    ],
)
def test_what_an_interface_stands_on(machine, names, found):
    host = machine({"/sys/class/net/ens3v0/device/physfn/net/ens3": ""})
    assert sessions.below(host, names, TABLE) == found


def test_a_local_session_is_carried_by_nothing(machine):
    assert sessions.carriers(machine(), Session(LOCAL)) == set()


def test_the_interface_of_the_local_address_carries_the_session(machine):
    session = Session(SSH, Ssh("127.0.0.2", 40001, "127.0.0.1", 22))
    assert sessions.carriers(machine(), session) == {"lo"}


def test_a_session_that_nobody_knows_is_taken_to_come_by_the_default_routes(machine):
    expected = sessions.below(machine(), linkstate.default_ways(), netlink.links())
    assert sessions.carriers(machine(), Session(UNKNOWN)) == expected
    elsewhere = Session(SSH, Ssh("fe80::1%ens999", 1, "fe80::2%ens999", 22))
    assert "ens999" in sessions.carriers(machine(), elsewhere)
