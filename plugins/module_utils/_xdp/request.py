# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of an interface's XDP program, and where its pins and state files go."""

from __future__ import annotations

from dataclasses import dataclass

from .._core import state_store
from .._core.names import absolute_path, interface_name

KIND = "xdp"
PIN_ROOT = "/sys/fs/bpf/tripod"
STATE_DIRECTORY = state_store.DIRECTORY
MODES = ("native", "generic", "offload")
DIRECTORY_MODE = 0o750
# BPF and PERFMON would load a program; to open one, a map or a link by its number takes SYS_ADMIN.
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "CHOWN")
CAPABILITIES_WORDS = "root with the capabilities SYS_ADMIN, NET_ADMIN and, for pin_group, CHOWN"


def pin_directory(pin_root: str, interface: str) -> str:
    """Return where an interface's pins are; a BPF file system takes no dot in a name, and an interface no colon."""
    return f"{pin_root}/{interface.replace('.', ':')}"


def state_file(interface: str) -> str:
    """Return the name of the state file that requests an interface's program."""
    return f"{KIND}-{interface}"


def policy_state_file(interface: str) -> str:
    """Return the name of the state file that holds the entries of an interface's maps."""
    return f"xdp_map-{interface}"


@dataclass(frozen=True)
class Desired:
    """What is requested of an interface.

    Attributes:
        present: Whether the program is to be attached.
        object: Path of the BPF ELF object.
        sha256: What its digest must be; None accepts any.
        program: Name of the program; None where the object has one XDP program only.
        pin_group: Group id that may read the pins and write the maps.
        recreate_maps: Whether maps of another layout are made anew, losing their entries.
        replace_foreign: Whether another owner's program is detached.
    """

    interface: str
    present: bool = True
    object: str = ""
    sha256: str | None = None
    program: str | None = None
    mode: str = "native"
    pin_root: str = PIN_ROOT
    pin_group: int = 0
    recreate_maps: bool = False
    replace_foreign: bool = False
    state_directory: str = STATE_DIRECTORY

    def __post_init__(self) -> None:
        """Refuse names that reach further than one interface's pins and files.

        Raises:
            Invalid: The message says which, and why.
        """
        interface_name(self.interface)
        absolute_path(self.pin_root, "pin_root")
        absolute_path(self.state_directory, "state_dir")
        if self.object:
            absolute_path(self.object, "object")

    @property
    def pins(self) -> str:
        """Directory of this interface's pins."""
        return pin_directory(self.pin_root, self.interface)

    @property
    def state_file(self) -> str:
        """Name of its state file."""
        return state_file(self.interface)

    @property
    def policy(self) -> str:
        """Name of the state file that holds the entries of the maps, which go with them."""
        return policy_state_file(self.interface)

    @property
    def state_files(self) -> list[str]:
        """Paths of both state files."""
        return [state_store.path(name, self.state_directory) for name in (self.state_file, self.policy)]
