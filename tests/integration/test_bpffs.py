"""A real mount, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHILD = """
import ctypes, os, sys
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.bpffs import Bpffs, PinRoot
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host

mount = sys.argv[1]
desired = PinRoot(mount, mount + "/tripod", 10002)
assert not os.path.exists(desired.path)
print(len(converge(Bpffs(desired), desired, Host(), check=True).changes), os.path.exists(desired.path))
changes = converge(Bpffs(desired), desired, Host()).changes
made = os.stat(desired.path)
print(len(changes), oct(made.st_mode & 0o7777), made.st_gid)
print(len(converge(Bpffs(desired), desired, Host()).changes))
"""


def test_mounts_once_and_makes_the_pin_root(tmp_path):
    paths = ":".join(path for path in sys.path if path)
    done = subprocess.run(
        ["unshare", "--mount", "env", f"PYTHONPATH={paths}", sys.executable, "-c", CHILD, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["4 False", "4 0o750 10002", "0"]
    assert not Path(tmp_path, "tripod").exists(), "the mount went with its namespace"
