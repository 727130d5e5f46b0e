"""Boot arguments, drivers' options and the CPU plan where /boot or /etc takes nothing: a full one, a read-only one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_kernel_args import Machine
from tests.integration.test_refusals import in_words
from tests.support import forked
from tests.support.machine import on_disk

ROOM = "256k"
_BIND, _REMOUNT_READ_ONLY = 4096, 32 | 4096 | 1
MASK = Path("/proc/irq/default_smp_affinity")
LOADED = sorted(path.parent.name for path in Path("/sys/module").glob("*/parameters"))
PROGRAM = """\
#!/bin/sh
/bin/echo made > /boot/initrd.img-1.new && mv /boot/initrd.img-1.new /boot/initrd.img-1
"""


@pytest.fixture
def machine() -> Iterator[Machine]:
    with on_disk() as place:
        yield Machine(place)


def own(tmp_path: Path) -> None:
    """Go to an /etc and a lock of one's own."""
    forked.unshare()
    forked.cover("/etc", str(tmp_path / "etc"), ROOM)
    forked.cover("/run", str(tmp_path / "run"), ROOM)


def places(machine: Machine, tmp_path: Path) -> None:
    own(tmp_path)
    forked.mount(str(machine.boot), "/boot", flags=_BIND)
    forked.mount(str(machine.defaults), "/etc/default", flags=_BIND)


def small(directory: str, tmp_path: Path) -> None:
    """Put what a directory has on a file system of its own that has no more room."""
    scratch = str(tmp_path / "scratch")
    forked.cover(directory, scratch, ROOM)
    forked.fill(scratch)


def read_only(directory: str, _tmp_path: Path) -> None:
    forked.mount(directory, directory, flags=_BIND)
    forked.mount("none", directory, flags=_REMOUNT_READ_ONLY)


DISKS: dict[str, Callable[[str, Path], None]] = {"full": small, "read-only": read_only}


def files(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("directory", ["/boot/grub", "/etc/default/grub.d"])
@pytest.mark.parametrize("arguments", [["mitigations=auto"], []], ids=["added", "removed"])
def test_boot_arguments(machine: Machine, tmp_path: Path, directory: str, disk: str, arguments: list[str]) -> None:
    if not arguments:
        machine.bring(["mitigations=auto"])
    before = files(machine.boot), files(machine.defaults)

    def prepare() -> None:
        places(machine, tmp_path)
        DISKS[disk](directory, tmp_path)

    found = forked.answer("kernel_args", {"arguments": arguments}, prepare)
    said = in_words(found)
    assert found["failed"]
    assert disk in said
    assert directory in said
    assert "nothing was changed" in said
    assert "free some space" in said or "mount it writable" in said
    assert (files(machine.boot), files(machine.defaults)) == before


@pytest.mark.parametrize("disk", DISKS)
def test_the_cpu_plan(tmp_path: Path, disk: str) -> None:
    before = MASK.read_text()

    def prepare() -> None:
        own(tmp_path)
        os.makedirs("/etc/tripod/host.d", exist_ok=True)
        DISKS[disk]("/etc/tripod/host.d", tmp_path)

    # The opposite of what there is, so that there is something to change.
    options = {"housekeeping": "0", "isolation": []}
    found = forked.answer("cpu_isolation", options, prepare)
    said = in_words(found)
    assert found["failed"]
    assert disk in said
    assert "nothing was changed" in said
    assert MASK.read_text() == before


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("directory", ["/boot", "/etc/modprobe.d"])
def test_options_of_drivers(machine: Machine, tmp_path: Path, directory: str, disk: str) -> None:
    """There is no initramfs-tools here, so a script of its name writes to the real disk."""
    tool = tmp_path / "update-initramfs"
    tool.write_text(PROGRAM)
    tool.chmod(0o755)
    (machine.boot / "vmlinuz-1").write_text("x")
    (machine.boot / "initrd.img-1").write_text("old")

    def prepare() -> None:
        places(machine, tmp_path)
        os.makedirs("/etc/modprobe.d", exist_ok=True)
        forked.cover("/usr/sbin", str(tmp_path / "sbin"), ROOM)
        os.symlink(tool, "/usr/sbin/update-initramfs")
        DISKS[disk](directory, tmp_path)

    options: dict[str, Any] = {"drivers": [{"name": LOADED[0], "options": {"tripod": "1"}}]}
    found = forked.answer("driver", options, prepare)
    said = in_words(found)
    assert found["failed"]
    if directory == "/boot":
        assert ("No space left" if disk == "full" else "Read-only file system") in said
        assert "what was changed before stands: /etc/modprobe.d/tripod.conf" in said
        assert "run again once that is mended" in said
        assert (machine.boot / "initrd.img-1").read_text() == "old"
    else:
        assert disk in said
        assert "nothing was changed" in said
