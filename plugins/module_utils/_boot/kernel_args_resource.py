# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The kernel's boot arguments: what GRUB's defaults say, what the next boot gets, and what runs.

One drop-in of ours adds to ``GRUB_CMDLINE_LINUX_DEFAULT``, which recovery entries do not get: they stay a way in where
an argument keeps the machine from booting. grub-mkconfig is never let at the live ``grub.cfg``, which it overwrites in
place: it writes a file beside it, which is read, and which takes the live one's place only where it boots as requested.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .._core.converge import ApplyFailed, Change, CoreError, Findings, Impossible, Invalid, Refused
from .._core.errors import reason
from .._core.system import Host
from .._linux import grub
from . import kernel_args_limits, kernel_args_plan
from .kernel_args_loader import grub_mkconfig
from .kernel_args_plan import contains_run, file_text, gone
from .kernel_args_request import faults, plain
from .kernel_args_state import DROP_IN, VARIABLE, BootState, read_state, render_drop_in

Generate = Callable[[str], None]


class KernelArguments:
    """The resource for ``converge``.

    Args:
        desired: The arguments that are ours, in order.
        generate: Writes a new grub.cfg to the path it is given.
        beside_plan: Whether the CPU plan that is saved is the one that the host is to have.
    """

    def __init__(self, desired: Sequence[str], generate: Generate = grub_mkconfig, beside_plan: bool = False) -> None:
        self._desired = plain(desired)
        self._generate = generate
        self._beside_plan = beside_plan

    def read(self, host: Host) -> BootState:
        """Read our drop-in, the next boot's arguments and the running ones."""
        return read_state(host)

    def files(self, _state: BootState) -> Iterator[str]:
        """Yield what is written."""
        yield DROP_IN
        yield grub.CONFIG

    def validate(self, desired: Sequence[str], state: BootState) -> None:
        """Raise with every reason at once."""
        headline = "boot arguments: nothing was changed"
        Findings(list(faults(desired))).raise_if_any(Invalid, headline)
        if not desired and state.drop_in is None:
            return
        Findings(list(kernel_args_limits.limits(desired, state))).raise_if_any(Impossible, headline)
        refusals = kernel_args_limits.refusals(desired, state, self._beside_plan)
        Findings(list(refusals)).raise_if_any(Refused, headline)

    def plan(self, desired: Sequence[str], state: BootState) -> list[Change]:
        """Return the change of our file and that of the entry that boots next."""
        return kernel_args_plan.plan(desired, state)

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write our file, make a grub.cfg that follows it, and restore both where that fails."""
        state = self.read(host)
        before = state.drop_in.text if state.drop_in else None
        text = file_text(self._desired, state)
        if any(change.path[0] == grub.CONFIG for change in changes):
            # Until grub.cfg is rid of them, what is removed stays saved: a power cut must not make it unknown.
            retired = gone(self._desired, state)
            # grub-mkconfig on a full disk says so in many words or in none.
            host.prove_writable(_place(host, host.path(grub.CONFIG).resolve()))
            _store(host, render_drop_in(self._desired, retired) if retired else text)
            try:
                self._regenerate(host, retired)
            except (CoreError, OSError):
                _store(host, before)
                raise
        _store(host, text)

    def _regenerate(self, host: Host, retired: Sequence[str]) -> None:
        live = host.path(grub.CONFIG).resolve()
        # As files are named that are being written, so that what a killed run leaves is known as such.
        made = live.with_name(f".{live.name}.{os.getpid()}.mkconfig")
        try:
            self._generate(str(made))
            try:
                text = made.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ApplyFailed(f"grub-mkconfig made nothing: {reason(error)}") from error
            _prove(text, host.read(grub.ENVIRONMENT) or "", self._desired, retired)
            host.put_in_place(_place(host, made), _place(host, live), live.stat().st_mode & 0o7777)
        finally:
            for left in (made, made.with_name(f"{made.name}.new")):
                left.unlink(missing_ok=True)


def _place(host: Host, path: Path) -> str:
    return f"/{path.relative_to(host.root.resolve())}"


def _prove(text: str, environment: str, arguments: Sequence[str], retired: Sequence[str]) -> None:
    entry = grub.default_entry(text, environment)
    tokens = (entry.tokens or ()) if entry else ()
    title = repr(entry.title) if entry else "no entry"
    if not contains_run(tokens, arguments):
        raise ApplyFailed(
            f"the grub.cfg that grub-mkconfig made boots {title} with '{' '.join(tokens)}', not with "
            f"'{' '.join(arguments)}'; the live one is as it was; look for a file read after {DROP_IN} that sets "
            f"{VARIABLE}, and for entries that were not made from {grub.DEFAULTS}"
        )
    kept = [token for token in retired if token in tokens]
    if kept:
        raise ApplyFailed(
            f"the grub.cfg that grub-mkconfig made still boots {title} with '{' '.join(kept)}'; the live one stays"
        )


def _store(host: Host, text: str | None) -> None:
    if text is None:
        host.remove(DROP_IN)
    elif host.read(DROP_IN) != text:
        host.write_atomically(DROP_IN, text + "\n")
