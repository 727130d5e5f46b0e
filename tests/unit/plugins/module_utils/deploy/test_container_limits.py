"""Limits of containers: what a host cannot keep, and what no service starts with, is refused by the variable's name."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.container_limits import (
    LIMITS,
    Limits,
    parse,
    require_sound,
)

HOST = {
    "/proc/meminfo": "MemTotal:        2097152 kB\nMemFree:         1048576 kB\n",
    "/sys/devices/system/cpu/online": "0-1\n",
    "/proc/sys/kernel/pid_max": "32768\n",
}


def given(**limits: str) -> dict[str, str]:
    """Return limits as a module's options have them, where what is not set is empty."""
    return dict.fromkeys(LIMITS, "") | {"role": "webui"} | limits


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"memory": "64M"},
        {"memory": "2G"},
        {"memory": "512M", "shm_size": "512M"},
        {"cpus": "0"},
        {"cpus": "0.0"},
        {"cpus": "0.01"},
        {"cpus": "2.0"},
        {"pids": "64"},
        {"pids": "32768"},
    ],
)
def test_what_the_host_can_keep_passes(machine, limits):
    require_sound(machine(HOST), [given(**limits)])


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory": "63M"}, "webui_memory: 63 MiB < minimum 64 MiB"),
        ({"memory": "0"}, "webui_memory: 0 B < minimum 64 MiB"),
        ({"role": "postgres", "memory": "191M"}, "postgres_memory: 191 MiB < minimum 192 MiB"),
        ({"role": "flask_backend", "memory": "64M"}, "flask_backend_memory: 64 MiB < minimum 192 MiB"),
        ({"memory": "4G"}, "webui_memory: 4 GiB > 2 GiB, which is all that this host has"),
        ({"cpus": "4"}, "webui_cpus: 4 > 2, which is all that this host has; 0 is no limit"),
        ({"cpus": "-1"}, "webui_cpus: -1 < minimum 0.01; 0 is no limit"),
        ({"cpus": "0.001"}, "webui_cpus: 0.001 < minimum 0.01"),
        ({"pids": "0"}, "webui_pids: 0 < minimum 64"),
        ({"pids": "-1"}, "webui_pids: -1 < minimum 64"),
        ({"pids": "32769"}, "webui_pids: 32769 > 32768"),
        ({"memory": "256M", "shm_size": "1G"}, "webui_shm_size: 1 GiB > webui_memory 256 MiB, of which it is a part"),
        ({"shm_size": "3G"}, "webui_shm_size: 3 GiB > memory of this host 2 GiB"),
    ],
)
def test_what_the_host_cannot_keep_is_refused(machine, limits, words):
    with pytest.raises(Refused) as refused:
        require_sound(machine(HOST), [given(**limits)])
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory": "much"}, "webui_memory: 'much' is no size"),
        ({"memory": "-1"}, "webui_memory: '-1' is no size"),
        ({"memory": "512MiB"}, "webui_memory: '512MiB' is no size"),
        ({"shm_size": "1.5G"}, "webui_shm_size: '1.5G' is no size"),
        ({"cpus": "two"}, "webui_cpus: 'two' is no number"),
        ({"cpus": "nan"}, "webui_cpus: 'nan' is no number"),
        ({"cpus": "inf"}, "webui_cpus: 'inf' is no number"),
        ({"pids": "many"}, "webui_pids: 'many' is no whole number"),
        ({"pids": "1.5"}, "webui_pids: '1.5' is no whole number"),
    ],
)
def test_what_is_no_amount_is_refused(limits, words):
    with pytest.raises(Invalid, match=words):
        parse([given(**limits)])


def test_every_reason_is_said_at_once(machine):
    limits = [given(memory="1M", cpus="9", pids="1"), given(role="postgres", shm_size="9G")]
    with pytest.raises(Refused) as refused:
        require_sound(machine(HOST), limits)
    assert [reason.partition(":")[0] for reason in refused.value.facts["reasons"]] == [
        "webui_memory",
        "webui_cpus",
        "webui_pids",
        "postgres_shm_size",
    ]


@pytest.mark.parametrize("text", ["512M", "512MB", "1 G", "536870912", "512m", "64K"])
def test_a_size_is_what_the_module_that_runs_containers_takes(text):
    assert parse([given(memory=text)]) == [Limits("webui", memory=human_to_bytes(text))]
