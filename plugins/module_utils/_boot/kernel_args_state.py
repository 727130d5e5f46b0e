# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Boot arguments as a host has them: in our file, in the entry that boots next, and in the running kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._core import state_store
from .._core.cpulist import parse_flagged_cpulist
from .._core.system import Host
from .._linux import grub
from .._linux.grub import Setting
from .kernel_args_loader import obstacle

DROP_IN = f"{grub.DROP_INS}/zz-tripod.cfg"
VARIABLE = "GRUB_CMDLINE_LINUX_DEFAULT"
_CPU_PLAN = "cpu_isolation"  # the name of its state file
_MARK = "# Written by tripod.baremetal.kernel_args, which overwrites and removes it."
_RETIRED = "# Removed, until a boot without them: "
_OURS = re.compile(rf'^{VARIABLE}="\${VARIABLE} (.*)"$', re.MULTILINE)

# Neither a shell nor GRUB gives these signs a meaning of their own.
_UNQUOTED = re.compile(r"[\w.,:/@+=%^~\[\]-]+", re.ASCII)


@dataclass(frozen=True)
class DropIn:
    """Our file.

    Attributes:
        text: All of it, without the last newline.
        arguments: What it adds.
        retired: What it added before, saved in a comment until the machine has booted without it.
    """

    text: str
    arguments: tuple[str, ...]
    retired: tuple[str, ...] = ()


@dataclass(frozen=True)
class BootState:
    """Boot arguments as they are.

    Attributes:
        drop_in: Our file; None where it is absent.
        entry: Title of the menu entry that boots next; None where it cannot be determined.
        pending: Arguments of that entry, in order.
        running: Arguments of the running kernel, in order.
        foreign: Arguments that other files of GRUB's defaults set.
        obstacle: Why boot arguments cannot be set here.
        planned: CPUs that the saved CPU plan isolates.
    """

    drop_in: DropIn | None
    entry: str | None
    pending: tuple[str, ...]
    running: tuple[str, ...]
    foreign: Sequence[Setting] = ()
    obstacle: str | None = None
    boot_id: str = ""
    planned: frozenset[int] = frozenset()

    @property
    def formerly_ours(self) -> tuple[str, ...]:
        """What our file adds or used to add."""
        return (*self.drop_in.arguments, *self.drop_in.retired) if self.drop_in else ()


def read_state(host: Host) -> BootState:
    """Read our drop-in, the next boot's arguments and the running ones."""
    config, environment = host.read(grub.CONFIG), host.read(grub.ENVIRONMENT) or ""
    entry = grub.default_entry(config, environment) if config else None
    return BootState(
        drop_in=parse_drop_in(host.read(DROP_IN)),
        entry=entry.title if entry else None,
        pending=(entry.tokens or ()) if entry else (),
        running=grub.split_arguments(host.read("/proc/cmdline") or ""),
        foreign=tuple(grub.settings(host, DROP_IN)),
        obstacle=obstacle(host, config, entry is not None),
        boot_id=host.boot_id,
        planned=_planned(host),
    )


def _planned(host: Host) -> frozenset[int]:
    saved = state_store.load(host, _CPU_PLAN)
    return (parse_flagged_cpulist(str(saved.body.get("isolated") or "")) if saved else None) or frozenset()


def parse_drop_in(text: str | None) -> DropIn | None:
    """Return our file as its text has it; None where it is absent."""
    if text is None:
        return None
    ours = _OURS.search(text)
    retired = next((line[len(_RETIRED) :] for line in text.splitlines() if line.startswith(_RETIRED)), "")
    arguments = grub.split_words(re.sub(r'\\([$`"\\])', r"\1", ours[1])) if ours else ()
    return DropIn(text, arguments, grub.split_words(retired))


def render_drop_in(arguments: Sequence[str], retired: Sequence[str]) -> str:
    """Return our file's text, without its last newline."""
    lines = [_MARK]
    if retired:
        lines.append(_RETIRED + " ".join(map(_quoted, retired)))
    if arguments:
        # A shell reads this line first, GRUB what the shell makes of it.
        inside = re.sub(r'([$`"\\])', r"\\\1", " ".join(map(_quoted, arguments)))
        lines.append(f'{VARIABLE}="${VARIABLE} {inside}"')
    return "\n".join(lines)


def _quoted(token: str) -> str:
    """Return a boot argument as GRUB's scripts have it."""
    if _UNQUOTED.fullmatch(token):
        return token
    key, _equals, value = token.partition("=")
    # In single quotes nothing but their end has a meaning to GRUB.
    return f'{key}="{value}"' if _UNQUOTED.fullmatch(token.replace(" ", "")) else f"'{token}'"
