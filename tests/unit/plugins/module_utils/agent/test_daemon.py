"""One instance of a service, which its pid file names."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.daemon import single_instance
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Refused


def test_a_pid_file_is_held_by_one(tmp_path):
    path = tmp_path / "run" / "keep.pid"
    refused = pytest.raises(Refused, match=rf"another one holds {path} \(process {os.getpid()}\)")
    with single_instance(str(path), "abc"), refused, single_instance(str(path), "abc"):
        pass
    with single_instance(str(path), "def"):
        assert path.read_text() == f"{os.getpid()} def\n"
    assert path.read_text() == ""


def test_a_pid_file_in_a_place_that_others_see_is_ones_own(tmp_path):
    path = tmp_path / "policy.pid"
    with single_instance(str(path), "abc", 0o600):
        assert path.stat().st_mode & 0o777 == 0o600, "who can open it can lock it"
