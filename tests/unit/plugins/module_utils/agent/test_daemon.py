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
