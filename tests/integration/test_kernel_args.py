"""The real grub-mkconfig, on a /boot and an /etc/default of its own in a mount namespace."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEFAULTS = """\
GRUB_DEFAULT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_DEVICE=LABEL=ROOT
GRUB_DISABLE_LINUX_UUID=true
GRUB_DISABLE_OS_PROBER=true
"""
CHILD = """
import json, sys
from ansible_collections.tripod.baremetal.plugins.module_utils._core import CoreError, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._host import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._kernel_args import KernelArguments

for arguments in json.loads(sys.argv[1]):
    try:
        outcome = converge(KernelArguments(arguments), arguments, Host())
        print(json.dumps([len(outcome.changes), outcome.state.pending]))
    except CoreError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def grub(tmp_path: Path):
    """Return a function that runs lists of arguments one after the other on a machine with two kernels."""
    if not shutil.which("grub-mkconfig", path="/usr/sbin:/usr/bin"):
        pytest.skip("grub-mkconfig is not installed (grub-common)")
    boot, defaults = tmp_path / "boot", tmp_path / "default"
    (boot / "grub").mkdir(parents=True)
    (defaults / "grub.d").mkdir(parents=True)
    (defaults / "grub").write_text(DEFAULTS)
    for version in ("6.1.0-28-amd64", "6.1.0-31-amd64"):
        for name in ("vmlinuz", "initrd.img"):
            (boot / f"{name}-{version}").write_text("x")
    enter = f"mount --bind {boot} /boot && mount --bind {defaults} /etc/default && "
    first = ["unshare", "--mount", "sh", "-c", enter + "exec grub-mkconfig -o /boot/grub/grub.cfg"]
    subprocess.run(first, check=True, capture_output=True)

    def run(*lists: list[str]):
        paths = ":".join(path for path in sys.path if path)
        command = ["unshare", "--mount", "sh", "-c", enter + 'exec "$@"', "sh", "env", f"PYTHONPATH={paths}"]
        child = [sys.executable, "-c", CHILD, json.dumps(lists)]
        done = subprocess.run([*command, *child], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    run.boot, run.defaults = boot, defaults
    return run


def test_grub_takes_arguments_in_order_and_loses_them_again(grub):
    live = (grub.boot / "grub" / "grub.cfg").read_bytes()
    ours = ["hugepagesz=1G", "hugepages=0:2,1:4", 'dyndbg="file a.c +p"', "hugepagesz=2M", "isolcpus=managed_irq,2-3"]
    first, again, shorter, gone, still = grub(ours, ours, ours[:1], [], [])
    others = ["root=LABEL=ROOT", "ro", "console=ttyS0", "quiet"]
    assert first == [2, [*others, *(token.replace('"', "") for token in ours)]]
    assert again == [0, first[1]]
    assert shorter == [2, [*others, "hugepagesz=1G"]]
    assert gone == [2, others]
    assert still == [0, others]
    assert (grub.boot / "grub" / "grub.cfg").read_bytes() == live
    assert sorted(path.name for path in (grub.boot / "grub").iterdir()) == ["grub.cfg"]
    assert list((grub.defaults / "grub.d").iterdir()) == []


def test_a_file_read_after_ours_that_drops_them_is_found_before_it_goes_live(grub):
    live = (grub.boot / "grub" / "grub.cfg").read_bytes()
    (grub.defaults / "grub.d" / "zzz.cfg").write_text("GRUB_CMDLINE_LINUX_DEFAULT=\n")
    [words] = grub(["a=1"])
    assert "not with 'a=1'" in words
    assert "a file read after /etc/default/grub.d/zz-tripod.cfg" in words
    assert (grub.boot / "grub" / "grub.cfg").read_bytes() == live
    assert [path.name for path in (grub.defaults / "grub.d").iterdir()] == ["zzz.cfg"]


def test_a_script_that_fails_leaves_everything_as_it_was(grub):
    live = (grub.boot / "grub" / "grub.cfg").read_bytes()
    (grub.defaults / "grub.d" / "50-broken.cfg").write_text("exit 7\n")
    [words] = grub(["a=1"])
    assert "grub-mkconfig failed (7)" in words
    assert (grub.boot / "grub" / "grub.cfg").read_bytes() == live
    assert [path.name for path in (grub.defaults / "grub.d").iterdir()] == ["50-broken.cfg"]
