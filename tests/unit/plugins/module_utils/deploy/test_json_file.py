"""Merging into a JSON file of somebody else."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.json_file import (
    JsonContent,
    JsonFile,
    restart_reason,
)

PATH = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    ("existing", "desired", "result"),
    [
        (None, {"live-restore": True}, {"live-restore": True}),
        ("", {"live-restore": True}, {"live-restore": True}),
        ('{"dns": ["192.0.2.1"]}', {"live-restore": True}, {"dns": ["192.0.2.1"], "live-restore": True}),
        ('{"log-opts": {"a": "1", "b": "2"}}', {"log-opts": {"b": "3"}}, {"log-opts": {"a": "1", "b": "3"}}),
        ('{"log-opts": "odd"}', {"log-opts": {"b": "3"}}, {"log-opts": {"b": "3"}}),
        ('{"dns": ["192.0.2.1"]}', {"dns": ["192.0.2.2"]}, {"dns": ["192.0.2.2"]}),
    ],
)
def test_merges_and_keeps_what_is_not_ours(tmp_path, existing, desired, result):
    host = Host(tmp_path)
    if existing is not None:
        host.write_atomically(PATH, existing)
    assert converge(JsonFile(PATH), desired, host).changed
    assert json.loads(host.read(PATH)) == result
    assert not converge(JsonFile(PATH), desired, host).changed


def test_nothing_requested_makes_no_file(tmp_path):
    assert not converge(JsonFile(PATH), {}, Host(tmp_path)).changed
    assert not Host(tmp_path).exists(PATH)


def test_check_writes_nothing(tmp_path):
    outcome = converge(JsonFile(PATH), {"debug": False}, Host(tmp_path), check=True)
    assert outcome.diff == {"before": {}, "after": {"debug": False}}
    assert not Host(tmp_path).exists(PATH)


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_a_broken_file_is_left_alone(tmp_path, text):
    host = Host(tmp_path)
    host.write_atomically(PATH, text)
    with pytest.raises(Invalid, match="nothing was changed"):
        converge(JsonFile(PATH), {"debug": True}, host)
    assert host.read(PATH) == text


@pytest.mark.parametrize(
    ("written", "started", "required"),
    [(10.0, 5.0, True), (5.0, 10.0, False), (None, 10.0, False), (10.0, None, False)],
)
def test_restart_follows_from_the_two_times(written, started, required):
    assert bool(restart_reason(PATH, JsonContent({}, written), started)) is required
