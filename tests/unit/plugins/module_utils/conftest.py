"""What the tests of the core share."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host


@pytest.fixture
def machine(tmp_path):
    """Return a function that makes a machine out of files and symbolic links, each by its absolute path."""

    def make(files=None, links=None):
        host = Host(tmp_path)
        for path, text in (files or {}).items():
            place = host.path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        for path, target in (links or {}).items():
            place = host.path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        return host

    return make
