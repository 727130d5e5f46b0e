"""The real grub-mkconfig, on a /boot and an /etc/default of its own in a mount namespace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import on_disk

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
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_resource import KernelArguments

for arguments in json.loads(sys.argv[1]):
    try:
        outcome = converge(KernelArguments(arguments), arguments, Host())
        print(json.dumps([len(outcome.changes), outcome.state.pending]))
    except CoreError as error:
        print(json.dumps(str(error)))
"""


class Machine:
    """A machine with GRUB and two kernels: this one, with a /boot and an /etc/default of its own."""

    def __init__(self, place: Path) -> None:
        self.boot, self.defaults = place / "boot", place / "default"
        (self.boot / "grub").mkdir(parents=True)
        (self.defaults / "grub.d").mkdir(parents=True)
        (self.defaults / "grub").write_text(DEFAULTS)
        for version in ("6.1.0-28-amd64", "6.1.0-31-amd64"):
            for name in ("vmlinuz", "initrd.img"):
                (self.boot / f"{name}-{version}").write_text("x")
        self._inside("grub-mkconfig", "-o", "/boot/grub/grub.cfg")

    @property
    def config(self) -> bytes:
        """The live grub.cfg."""
        return (self.boot / "grub" / "grub.cfg").read_bytes()

    def bring(self, *lists: Sequence[str]) -> list[Any]:
        """Ask for one list after the other; return the number of changes and what boots next, or the error, of each."""
        paths = ":".join(path for path in sys.path if path)
        output = self._inside("env", f"PYTHONPATH={paths}", sys.executable, "-c", CHILD, json.dumps(lists))
        return [json.loads(line) for line in output.splitlines()]

    def _inside(self, *command: str) -> str:
        enter = f"mount --bind {self.boot} /boot && mount --bind {self.defaults} /etc/default && exec "
        words = ["unshare", "--mount", "sh", "-c", enter + '"$@"', "sh", *command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def machine() -> Iterator[Machine]:
    with on_disk() as place:
        yield Machine(place)


def test_grub_takes_arguments_in_order_and_loses_them_again(machine: Machine) -> None:
    live = machine.config
    ours = ["hugepagesz=1G", "hugepages=0:2,1:4", 'dyndbg="file a.c +p"', "hugepagesz=2M", "isolcpus=managed_irq,2-3"]
    first, again, shorter, gone, still = machine.bring(ours, ours, ours[:1], [], [])
    others = ["root=LABEL=ROOT", "ro", "console=ttyS0", "quiet"]
    assert first == [2, [*others, *(token.replace('"', "") for token in ours)]]
    assert again == [0, first[1]]
    assert shorter == [2, [*others, "hugepagesz=1G"]]
    assert gone == [2, others]
    assert still == [0, others]
    assert machine.config == live
    assert sorted(path.name for path in (machine.boot / "grub").iterdir()) == ["grub.cfg"]
    assert list((machine.defaults / "grub.d").iterdir()) == []


def test_signs_of_the_shell_and_of_grub_reach_grub_in_quotes(machine: Machine) -> None:
    live = machine.config
    ours = [
        "memmap=64K$0x18690000",
        "memmap=4G!8G",
        'acpi_osi="!Windows 2012"',
        'dyndbg="file drivers/usb/* +p; module x +p"',
        "blkdevparts=mmcblk0:1M(boot)",
        "a=`id`${HOME}#&|<>{}?*~;",
        "b=1",
    ]
    plain = [token.replace('"', "") for token in ours]
    first, again, gone = machine.bring(ours, ours, [])
    assert first[1][-len(ours) :] == plain
    assert again == [0, first[1]]
    assert gone[0] == 2
    assert machine.config == live
    machine.bring(ours)
    [line, *_others] = [line for line in machine.config.decode().splitlines() if line.lstrip().startswith("linux\t")]
    # To GRUB as to a shell, what is in single quotes is what it is.
    assert (
        subprocess.run(
            ["sh", "-c", line.replace("linux", "printf '%s\\n'", 1)], check=True, capture_output=True, text=True
        ).stdout.splitlines()[-len(ours) :]
        == plain
    )


def test_a_file_read_after_ours_that_drops_them_is_found_before_it_goes_live(machine: Machine) -> None:
    live = machine.config
    (machine.defaults / "grub.d" / "zzz.cfg").write_text("GRUB_CMDLINE_LINUX_DEFAULT=\n")
    [words] = machine.bring(["a=1"])
    assert "not with 'a=1'" in words
    assert "a file read after /etc/default/grub.d/zz-tripod.cfg" in words
    assert machine.config == live
    assert [path.name for path in (machine.defaults / "grub.d").iterdir()] == ["zzz.cfg"]


def test_a_script_that_fails_leaves_everything_as_it_was(machine: Machine) -> None:
    live = machine.config
    (machine.defaults / "grub.d" / "50-broken.cfg").write_text("exit 7\n")
    [words] = machine.bring(["a=1"])
    assert "grub-mkconfig failed (7)" in words
    assert machine.config == live
    assert [path.name for path in (machine.defaults / "grub.d").iterdir()] == ["50-broken.cfg"]
