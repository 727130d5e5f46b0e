"""What installing and removing the agent plans, on files and on both kinds of service manager."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.export_request import Export
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.resource import (
    HostAgent,
    Request,
    State,
    describe_change,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.services import ServiceState
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.units import unit_text
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Change,
    Impossible,
    Invalid,
    Refused,
    converge,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.detached import Running

REQUEST = Request()
ABSENT = Request(present=False)
VERSION, DIGEST = "9a0364b9e99b", "d1" * 32
UNITS = {f"/etc/systemd/system/{one.name}.service": unit_text(one, REQUEST.path) for one in REQUEST.services}
BARE = State("systemd", VERSION, DIGEST, services={one.name: ServiceState(enabled=False) for one in REQUEST.services})
INSTALLED = State(
    "systemd",
    VERSION,
    DIGEST,
    archive=DIGEST,
    mode=0o755,
    link=REQUEST.path,
    units=UNITS,
    services={
        one.name: ServiceState(Running(100, 1), f"{VERSION} {' '.join(one.arguments)}", True)
        if one.stays
        else ServiceState(enabled=True)
        for one in REQUEST.services
    },
    files=("/run/tripod-watch", "/run/tripod-policy", "/run/tripod-export", "/run/tripod-keep"),
)


def detached(state: State) -> State:
    services = {name: replace(one, enabled=None) for name, one in state.services.items()}
    return replace(state, manager="none", units={}, services=services)


def plan(state: State, request: Request = REQUEST) -> list[tuple[str, ...]]:
    return [change.path for change in HostAgent(request).plan(request, state)]


def test_files_come_before_units_and_units_before_what_runs():
    assert plan(BARE) == [
        (REQUEST.path, "sha256"),
        (REQUEST.path, "mode"),
        (REQUEST.command, "link"),
        ("/etc/systemd/system/tripod-apply.service", "unit"),
        ("tripod-apply", "enabled"),
        ("/etc/systemd/system/tripod-watch.service", "unit"),
        ("tripod-watch", "enabled"),
        ("/etc/systemd/system/tripod-policy.service", "unit"),
        ("tripod-policy", "enabled"),
        ("/etc/systemd/system/tripod-export.service", "unit"),
        ("tripod-export", "enabled"),
        ("/etc/systemd/system/tripod-keep.service", "unit"),
        ("tripod-keep", "enabled"),
        ("tripod-watch", "process"),
        ("tripod-policy", "process"),
        ("tripod-export", "process"),
        ("tripod-keep", "process"),
    ]


@pytest.mark.parametrize("state", [INSTALLED, detached(INSTALLED)], ids=["systemd", "none"])
def test_what_is_installed_and_runs_is_left_alone(state):
    assert plan(state) == []


def test_an_agent_that_alone_could_revert_is_not_removed():
    guarded = replace(INSTALLED, guards=["guard nic-1 of nic is armed, 40 s are left"])
    with pytest.raises(Refused, match=r"guard nic-1 of nic is armed, 40 s are left; .*confirm it or revert it first"):
        HostAgent(ABSENT).validate(ABSENT, guarded)
    HostAgent(REQUEST).validate(REQUEST, guarded)


def test_without_systemd_there_are_processes_alone():
    assert plan(detached(BARE)) == [
        (REQUEST.path, "sha256"),
        (REQUEST.path, "mode"),
        (REQUEST.command, "link"),
        ("tripod-watch", "process"),
        ("tripod-policy", "process"),
        ("tripod-export", "process"),
        ("tripod-keep", "process"),
    ]


def test_a_service_that_runs_other_sources_is_restarted_whatever_the_files_say():
    owed = {**INSTALLED.services, "tripod-keep": ServiceState(Running(100, 1), "000000000000 keep", True)}
    assert plan(replace(INSTALLED, services=owed)) == [("tripod-keep", "process")]


def test_other_arguments_are_a_reason_to_restart():
    assert plan(detached(INSTALLED), replace(REQUEST, label="a=b")) == [("tripod-keep", "process")]


def test_a_collector_is_a_reason_to_restart_the_exporter_alone():
    requested = replace(REQUEST, exported=Export(rate=10, collector="2001:db8::1", domain=7))
    assert plan(detached(INSTALLED), requested) == [("tripod-export", "process")]
    words = next(one.arguments for one in requested.services if one.name == "tripod-export")
    assert words[-8:] == (
        *("--rate", "10", "--ipfix", "2001:db8::1"),
        *("--ipfix-port", "4739", "--ipfix-domain", "7"),
    )


def test_who_may_change_policies_is_a_reason_to_restart_what_serves_them():
    requested = replace(REQUEST, policy_uid=562)
    assert plan(detached(INSTALLED), requested) == [("tripod-policy", "process")]
    [service] = [one for one in requested.services if one.name == "tripod-policy"]
    assert service.words == ["policy", "serve"]
    assert service.arguments[-4:] == ("--user", "562", "--group", "562")
    assert "--user" not in next(one for one in REQUEST.services if one.name == "tripod-policy").arguments


def test_the_unit_of_policies_may_write_where_the_state_files_are():
    requested = replace(REQUEST, state_dir="/srv/tripod/host.d")
    [service] = [one for one in requested.services if one.name == "tripod-policy"]
    text = unit_text(service, requested.path).splitlines()
    assert "ReadWritePaths=-/srv/tripod/host.d -/sys/fs/bpf" in text
    assert f"ExecStart={requested.path} policy serve --state-dir /srv/tripod/host.d" in "\n".join(text)


def test_everything_that_cannot_be_exported_is_refused_at_once():
    requested = replace(REQUEST, exported=Export(rate=0, collector="collector.example.org", port=65536, domain=-1))
    with pytest.raises(Invalid, match="nothing was changed") as refusal:
        HostAgent(requested).validate(requested, BARE)
    assert len(refusal.value.facts["reasons"]) == 4
    assert "'collector.example.org' is no IP address" in str(refusal.value)


def test_a_unit_that_was_edited_is_written_and_its_service_restarted():
    path = "/etc/systemd/system/tripod-watch.service"
    edited = replace(INSTALLED, units={**UNITS, path: "[Unit]\n"})
    assert plan(edited) == [(path, "unit"), ("tripod-watch", "process")]


def test_a_unit_that_systemd_has_not_read_yet_is_loaded():
    stale = {**INSTALLED.services, "tripod-apply": ServiceState(enabled=True, reload=True)}
    assert plan(replace(INSTALLED, services=stale)) == [("/etc/systemd/system/tripod-apply.service", "loaded")]


def test_what_is_removed_is_ended_first():
    assert plan(INSTALLED, ABSENT) == [
        ("tripod-keep", "enabled"),
        ("tripod-keep", "process"),
        ("tripod-export", "enabled"),
        ("tripod-export", "process"),
        ("tripod-policy", "enabled"),
        ("tripod-policy", "process"),
        ("tripod-watch", "enabled"),
        ("tripod-watch", "process"),
        ("tripod-apply", "enabled"),
        *((path, "unit") for path in UNITS),
        *((f"/run/tripod-{name}", "exists") for name in ("watch", "policy", "export", "keep")),
        (REQUEST.command, "link"),
        (REQUEST.path, "sha256"),
    ]
    assert plan(BARE, ABSENT) == []


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(python="python3"), "python 'python3' is not absolute"),
        (Request(path="/opt/my tools/tripod-host"), "path '/opt/my tools/tripod-host' holds a character other than"),
        (Request(command="/usr/local/sbin/../../x"), "command '.*' is another way to write /usr/x"),
        (Request(state_dir="/etc/tripod/"), "state_dir '/etc/tripod/' is another way to write /etc/tripod"),
        (Request(log_directory="log"), "log_dir 'log' is not absolute"),
        (Request(label="a=$(reboot)"), r"label 'a=\$\(reboot\)' holds a character"),
        (Request(run_directory="/srv/run"), "run_dir /srv/run: systemd makes the agent's directories in /run"),
    ],
)
def test_what_no_unit_can_hold_is_refused(request_, words):
    with pytest.raises(Invalid, match=words):
        HostAgent(request_).validate(request_, BARE)


def test_what_the_host_lacks_is_told_before_anything_is_written(machine):
    host = machine({"/usr/local/sbin/tripod-host": "#!/bin/sh\n"})
    with pytest.raises(Impossible) as raised:
        converge(HostAgent(REQUEST), REQUEST, host)
    assert raised.value.facts["reasons"] == [
        "python /usr/bin/python3 is not there: install python3, or name the interpreter that is",
        "command /usr/local/sbin/tripod-host is not a link and not ours: remove it, or give another path",
    ]
    assert host.list("/usr/local/lib") == []


def test_a_check_writes_nothing(machine):
    host = machine({"/usr/bin/python3": ""})
    host.path("/usr/bin/python3").chmod(0o755)
    outcome = converge(HostAgent(REQUEST), REQUEST, host, check=True)
    assert outcome.changed
    assert host.list("/usr") == ["bin"]


def test_a_change_of_a_unit_is_told_in_a_line():
    assert describe_change(Change(("/etc/a.service", "unit"), None, "[Unit]\n")) == "/etc/a.service: written"
    assert describe_change(Change(("/etc/a.service", "unit"), "[Unit]\n", None)) == "/etc/a.service: removed"
    assert describe_change(Change(("tripod-keep", "enabled"), False, True)) == "tripod-keep enabled: False -> True"
