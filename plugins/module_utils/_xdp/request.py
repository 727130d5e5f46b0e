# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested of an interface's XDP program, and where its pins and state files go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
# Entries of ``xdp_interfaces``, for modules that are given the whole list.
INTERFACE: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "mode": {"type": "str", "choices": list(MODES), "default": "native"},
    "state": {"type": "str", "choices": ["attached", "detached"], "default": "attached"},
    "policy": {"type": "str", "default": ""},
    "before": {"type": "dict"},
    "after": {"type": "dict"},
}


def pin_directory(pin_root: str, interface: str) -> str:
    """Return where an interface's pins are; a BPF file system takes no dot in a name, and an interface no colon."""
    return f"{pin_root}/{interface.replace('.', ':')}"


def state_file(interface: str) -> str:
    """Return the name of the state file that requests an interface's program."""
    return f"{KIND}-{interface}"


def policy_state_file(interface: str) -> str:
    """Return the name of the state file that says which policy judges an interface."""
    return f"xdp_policy-{interface}"


def former_state_file(interface: str) -> str:
    """Return the name of the state file in which release 1 keeps the entries of an interface."""
    return f"xdp_map-{interface}"


@dataclass(frozen=True)
class Extension:
    """Somebody else's program that ours calls.

    Attributes:
        object: Path of the BPF ELF object.
        sha256: What its digest must be; None accepts any.
        program: Its name; None where the object has one XDP program only.
    """

    object: str
    sha256: str | None = None
    program: str | None = None


@dataclass(frozen=True)
class Desired:
    """What is requested of an interface.

    Attributes:
        present: Whether the program is to be attached.
        object: Path of the BPF ELF object.
        sha256: What its digest must be; None accepts any.
        program: Name of the program; None where the object has one XDP program only.
        pin_group: Group id that may read the pins.
        recreate_maps: Whether maps of another layout are made anew, losing their entries.
        replace_foreign: Whether another owner's program is detached.
        extensions: Programs of others ``before`` and ``after`` ours.
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
    extensions: Mapping[str, Extension] = field(default_factory=dict)

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
        for slot, one in self.extensions.items():
            absolute_path(one.object, f"{slot}.object")

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
        """Name of the state file that says which policy judges the interface."""
        return policy_state_file(self.interface)

    @property
    def state_files(self) -> list[str]:
        """Paths of the state files, with that of the entries of release 1 last."""
        names = (self.state_file, self.policy, former_state_file(self.interface))
        return [state_store.path(name, self.state_directory) for name in names]
