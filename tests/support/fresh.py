"""A machine on which nothing of ours is yet, with a boot loader: what playbooks are tried on in check mode."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.machine import Machine, on_disk

ROOT = Path(__file__).resolve().parents[2]
GRUB = """\
GRUB_CMDLINE_LINUX_DEFAULT=quiet
GRUB_DEVICE=LABEL=ROOT
GRUB_DISABLE_LINUX_UUID=true
GRUB_DISABLE_OS_PROBER=true
"""


@contextmanager
def fresh_machine() -> Iterator[Machine]:
    """Yield a machine with a boot loader, whose /sys shows its own NICs only."""
    assert os.geteuid() == 0, "it is made of namespaces: run these tests as root"
    with ExitStack() as stack:
        boot = stack.enter_context(on_disk())
        (boot / "grub").mkdir()
        for name in ("vmlinuz", "initrd.img"):
            (boot / f"{name}-6.1.0-28-amd64").touch()
        made = Machine()
        stack.callback(made.close)
        own_sys = (
            "mkdir /run/sys; mount --rbind /sys/fs /run/sys; mount -t sysfs sysfs /sys; mount --rbind /run/sys /sys/fs"
        )
        made.run("sh", "-ec", own_sys)
        made.run("mount", "--bind", str(boot), "/boot")
        made.run("sh", "-ec", 'mkdir -p /etc/default/grub.d; echo "$1" >/etc/default/grub', "sh", GRUB)
        made.run("grub-mkconfig", "-o", "/boot/grub/grub.cfg")
        yield made


def ansible_playbook(
    machine: Machine,
    words: Sequence[str],
    folder: Path = ROOT,
    environment: dict[str, str] | None = None,
    seconds: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook within a machine, as an operator in a folder who configured nothing but the collections."""
    child = {
        **{key: value for key, value in os.environ.items() if key != "ANSIBLE_CONFIG"},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections"),
        "ANSIBLE_NOCOLOR": "1",
        "PWD": str(folder),
        **(environment or {}),
    }
    command = str(Path(sys.executable).with_name("ansible-playbook"))
    return subprocess.run(
        [*machine.within[:-1], f"--wd={folder}", command, *words],
        env=child,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
