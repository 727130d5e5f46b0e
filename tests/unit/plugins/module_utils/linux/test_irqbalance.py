"""irqbalance's unit, and the drop-in that keeps it off."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqbalance
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.irqbalance import DROP_IN, State, read, render

UNIT = "/usr/lib/systemd/system/irqbalance.service"
DEBIAN = "[Service]\nEnvironmentFile=-/etc/default/irqbalance\nExecStart=/usr/sbin/irqbalance $IRQBALANCE_ARGS\n"
COMMAND = "/usr/sbin/irqbalance $IRQBALANCE_ARGS"
SYSTEMD = {"/run/systemd/system/anything": ""}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, State()),
        (SYSTEMD, State()),
        ({**SYSTEMD, UNIT: DEBIAN}, State(COMMAND)),
        ({**SYSTEMD, UNIT: DEBIAN, DROP_IN: render(COMMAND, [3, 30])}, State(COMMAND, frozenset([3, 30]))),
        ({UNIT: DEBIAN}, State()),
        ({UNIT: DEBIAN, "/proc/77/comm": "irqbalance\n"}, State(stray=True)),
        ({"/proc/77/comm": "irqbalance\n", **SYSTEMD}, State(stray=True)),
        (
            {
                **SYSTEMD,
                UNIT: DEBIAN,
                "/etc/systemd/system/irqbalance.service": "[Service]\nExecStart=/opt/irqbalance\n",
            },
            State("/opt/irqbalance"),
        ),
    ],
)
def test_how_irqbalance_is_set_up(machine, files, expected):
    assert read(machine(files)) == expected


EDITED = "/etc/systemd/system/irqbalance.service.d/override.conf"
LATER = "/etc/systemd/system/irqbalance.service.d/zzz.conf"
OLD = "/run/systemd/system/irqbalance.service.d/50-tripod.conf"
OTHER = "/usr/sbin/irqbalance --foreground --deepestcache=3"
OVERRIDE = f"[Service]\nExecStart=\nExecStart={OTHER}\n"
UNITS = {**SYSTEMD, UNIT: DEBIAN}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({EDITED: OVERRIDE}, State(OTHER), id="edited before"),
        pytest.param(
            {EDITED: OVERRIDE, DROP_IN: render(COMMAND, [3])},
            State(OTHER, frozenset([3]), outdated=COMMAND),
            id="edited since: our drop-in still comes last",
        ),
        pytest.param({EDITED: OVERRIDE, DROP_IN: render(OTHER, [3])}, State(OTHER, frozenset([3])), id="taken over"),
        pytest.param(
            {EDITED: "[Service]\nNice=5\n", DROP_IN: render(COMMAND, [3])},
            State(COMMAND, frozenset([3])),
            id="edited, but not the command",
        ),
        pytest.param(
            {LATER: OVERRIDE, DROP_IN: render(COMMAND, [3])},
            State(OTHER, frozenset([3]), outdated=COMMAND, overridden=LATER),
            id="a drop-in after ours",
        ),
        pytest.param(
            {EDITED: OVERRIDE, EDITED.replace("/etc", "/usr/lib"): "[Service]\nExecStart=/bin/false\n"},
            State(OTHER),
            id="the first of a name counts",
        ),
        pytest.param(
            {OLD: render(COMMAND, [3])},
            State(COMMAND, frozenset([3]), outdated=COMMAND),
            id="at its place of version 1.0",
        ),
        pytest.param({EDITED: "[Service]\nExecStart=\n"}, State(None), id="no command is left"),
    ],
)
def test_drop_ins_count_as_systemd_reads_them(machine, files, expected):
    assert read(machine({**UNITS, **files})) == expected


def test_our_drop_in_is_the_last_that_an_editor_makes():
    assert DROP_IN.rpartition("/")[2] > "override.conf"


def test_the_drop_in_keeps_the_operators_arguments():
    assert render(COMMAND, [30, 4]).splitlines() == [
        "# Interrupts placed by tripod.baremetal.nic",
        "[Service]",
        "ExecStart=",
        "ExecStart=/usr/sbin/irqbalance $IRQBALANCE_ARGS --banirq=4 --banirq=30",
    ]


def test_nothing_is_written_where_there_is_no_irqbalance(machine):
    host = machine(SYSTEMD)
    irqbalance.ban(host, [4])
    assert not host.exists(DROP_IN)


@pytest.mark.parametrize(("numbers", "reported"), [(None, None), ([], None), ([4, 5, 9], "4-5,9")])
def test_banned_interrupts_in_a_plan(numbers, reported):
    assert irqbalance.describe(numbers) == reported


@pytest.mark.parametrize(
    ("cgroup", "command", "unheeded"),
    [
        ("0::/system.slice/irqbalance.service\n", "/usr/sbin/irqbalance\0", True),
        ("0::/system.slice/irqbalance.service\n", "/usr/sbin/irqbalance\0--banirq=3\0", False),
        ("0::/system.slice/irqbalance.service\n", "/usr/sbin/irqbalance\0--banirq=3\0--banirq=9\0", False),
        ("0::/docker/5f0c\n", "/usr/sbin/irqbalance\0", False),
    ],
)
def test_one_that_was_started_without_the_bans_is_seen(machine, cgroup, command, unheeded):
    files = {"/proc/77/comm": "irqbalance\n", "/proc/77/cgroup": cgroup, "/proc/77/cmdline": command}
    assert read(machine({**UNITS, DROP_IN: render(COMMAND, [3]), **files})).unheeded is unheeded
