# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The kernel's boot arguments: what GRUB's defaults say, what the next boot gets, and what runs.

One drop-in of ours adds to ``GRUB_CMDLINE_LINUX_DEFAULT``, which recovery entries do not get: they stay a way in where
an argument keeps the machine from booting. grub-mkconfig is never let at the live ``grub.cfg``, which it overwrites in
place: it writes a file beside it, which is read, and only where that boots as asked does it take the live one's place.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed, Change, CoreError, Findings, Impossible, Invalid, Refused
from .._core.system import Host
from .._linux import grub
from .._linux.grub import Setting

DROP_IN = f"{grub.DROP_INS}/zz-tripod.cfg"
_VARIABLE = "GRUB_CMDLINE_LINUX_DEFAULT"
_MARK = "# Written by tripod.baremetal.kernel_args, which overwrites and removes it."
_RETIRED = "# Removed, until a boot without them: "
_OURS = re.compile(rf'^{_VARIABLE}="\${_VARIABLE} (.*)"$', re.MULTILINE)
_TOKEN = re.compile(r'[A-Za-z0-9_][\w.-]*(?:=(?:[\w.,:/@+=%^~\[\]-]*|"[\w.,:/@+=%^~\[\] -]*"))?', re.ASCII)
# GRUB, or the root file system's place, decides these.
_RESERVED = ("BOOT_IMAGE", "root", "initrd")
# The kernel takes the first amount for a size and ignores others, so ours, which come last, would have no effect.
_FIRST_WINS = ("hugepagesz", "hugepages", "default_hugepagesz")
_REPEATABLE = ("console", "earlycon", "memmap", "module_blacklist", "modprobe.blacklist", "netconsole", "video")
_MOST_CHARACTERS = 2047  # COMMAND_LINE_SIZE of x86 and arm64, less the final NUL
_LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_OTHER_LOADERS = {
    "/etc/kernel/proxmox-boot-uuids": "proxmox-boot-tool",
    "/boot/loader/loader.conf": "systemd-boot",
    "/boot/efi/loader/loader.conf": "systemd-boot",
    "/efi/loader/loader.conf": "systemd-boot",
    "/boot/loader/entries": "boot loader specification entries",
    "/boot/grub2/grub.cfg": "GRUB as Red Hat and SUSE arrange it",
    "/boot/extlinux/extlinux.conf": "extlinux",
    "/boot/firmware/cmdline.txt": "Raspberry Pi firmware",
    "/boot/cmdline.txt": "Raspberry Pi firmware",
}


@dataclass(frozen=True)
class DropIn:
    """Our file.

    Attributes:
        text: All of it, without the last newline.
        arguments: What it adds.
        retired: What it added before, kept as a comment until the machine has booted without it.
    """

    text: str
    arguments: tuple[str, ...]
    retired: tuple[str, ...] = ()


@dataclass(frozen=True)
class BootState:
    """Boot arguments as they are.

    Attributes:
        drop_in: Our file; None where it is absent.
        entry: Title of the menu entry that boots next; None where it cannot be told.
        pending: Arguments of that entry, in order.
        running: Arguments of the running kernel, in order.
        elsewhere: Arguments that other files of GRUB's defaults set.
        obstacle: Why boot arguments cannot be set here.
    """

    drop_in: DropIn | None
    entry: str | None
    pending: tuple[str, ...]
    running: tuple[str, ...]
    elsewhere: Sequence[Setting] = ()
    obstacle: str | None = None
    boot_id: str = ""

    @property
    def formerly_ours(self) -> tuple[str, ...]:
        """What our file adds or used to add."""
        return (*self.drop_in.arguments, *self.drop_in.retired) if self.drop_in else ()


Generate = Callable[[str], None]


def grub_mkconfig(path: str) -> None:
    """Write a new grub.cfg to a path of its own.

    Raises:
        ApplyFailed: A script of GRUB's failed, or made what GRUB cannot read.
    """
    done = subprocess.run(
        [_mkconfig() or "grub-mkconfig", "-o", path],
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        words = " ".join(done.stderr.split()[-60:])
        raise ApplyFailed(f"grub-mkconfig failed ({done.returncode}): {words}")


class KernelArguments:
    """The resource for ``converge``.

    Args:
        desired: The arguments that are ours, in order.
        generate: Writes a new grub.cfg to the path it is given.
    """

    def __init__(self, desired: Sequence[str], generate: Generate = grub_mkconfig) -> None:
        self._desired = _plain(desired)
        self._generate = generate

    def read(self, host: Host) -> BootState:
        """Read our drop-in, the next boot's arguments and the running ones."""
        config, environment = host.read(grub.CONFIG), host.read(grub.ENVIRONMENT) or ""
        entry = grub.default_entry(config, environment) if config else None
        return BootState(
            drop_in=_parse(host.read(DROP_IN)),
            entry=entry.title if entry else None,
            pending=(entry.tokens or ()) if entry else (),
            running=grub.split_arguments(host.read("/proc/cmdline") or ""),
            elsewhere=tuple(grub.settings(host, DROP_IN)),
            obstacle=_obstacle(host, config, entry is not None),
            boot_id=host.boot_id,
        )

    def validate(self, desired: Sequence[str], state: BootState) -> None:
        """Raise with every reason at once."""
        headline = "boot arguments: nothing was changed"
        Findings(list(_faults(desired))).raise_if_any(Invalid, headline)
        if not desired and state.drop_in is None:
            return
        Findings(list(_limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(_refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Sequence[str], state: BootState) -> list[Change]:
        """Return the change of our file and that of the entry that boots next."""
        changes = []
        held, text = state.drop_in, _desired_text(_plain(desired), state)
        if (held.text if held else None) != text:
            before, after = _summary(held), _summary(_parse(text))
            changes.append(Change((DROP_IN, "arguments"), "outdated" if before == after else before, after))
        if _stale(_plain(desired), state):
            line = " ".join(predicted(desired, state))
            changes.append(Change((grub.CONFIG, "linux"), " ".join(state.pending), line))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write our file, make a grub.cfg that follows it, and put both back where that fails."""
        state = self.read(host)
        before = state.drop_in.text if state.drop_in else None
        text = _desired_text(self._desired, state)
        if any(change.path[0] == grub.CONFIG for change in changes):
            # Until grub.cfg is rid of them, what is removed is remembered: a power cut must not make it unknown.
            retired = _gone(self._desired, state)
            _store(host, _render(self._desired, retired) if retired else text)
            try:
                self._regenerate(host, retired)
            except CoreError:
                _store(host, before)
                raise
        _store(host, text)

    def _regenerate(self, host: Host, retired: Sequence[str]) -> None:
        live = host.path(grub.CONFIG).resolve()
        made = live.with_name(f"{live.name}.tripod")
        try:
            self._generate(str(made))
            try:
                text = made.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise ApplyFailed(f"grub-mkconfig made nothing: {error}") from error
            _prove(text, host.read(grub.ENVIRONMENT) or "", self._desired, retired)
            place = "/" + str(live.relative_to(host.root.resolve()))
            host.write_atomically(place, text, live.stat().st_mode & 0o7777)
        finally:
            for left in (made, made.with_name(f"{made.name}.new")):
                left.unlink(missing_ok=True)


def predicted(desired: Sequence[str], state: BootState) -> tuple[str, ...]:
    """Return the arguments that the next boot has once the plan is carried out."""
    others = _others(state)
    # Ubuntu ends the line with a variable of GRUB's own, behind everything that the defaults set.
    end = next((place for place, token in enumerate(others) if token.startswith("$")), len(others))
    return (*others[:end], *_plain(desired), *others[end:])


def reboot_reasons(desired: Sequence[str], state: BootState) -> list[str]:
    """Return why a boot is needed, from the running kernel's arguments."""
    ours = _plain(desired)
    reasons = []
    missing = [token for token in ours if token not in state.running]
    if missing:
        reasons.append(f"boot arguments {' '.join(missing)} are set for the next boot and not in effect")
    elif not contains_run(state.running, ours):
        reasons.append(f"boot arguments {' '.join(ours)} are in effect in another order")
    removed = _still_running(ours, state)
    if removed:
        reasons.append(f"boot arguments {' '.join(removed)} were removed and are still in effect")
    return reasons


def conflicts(desired: Sequence[str], state: BootState) -> list[str]:
    """Return the arguments that others set to another value; ours come last, which for most keys is what counts."""
    ours = dict(token.partition("=")[::2] for token in _plain(desired))
    return [
        f"{where} sets {token}, which {key}={ours[key]} comes after"
        for token, where in _elsewhere(state)
        if (key := token.partition("=")[0]) in ours
        and key not in _REPEATABLE
        and token not in _plain(desired)
        and key not in _FIRST_WINS
    ]


def facts(desired: Sequence[str], state: BootState, check: bool) -> dict[str, Any]:
    """Return what a module tells beside its changes; in check mode, as it would be."""
    reasons = reboot_reasons(desired, state)
    return {
        "pending": list(predicted(desired, state) if check else state.pending),
        "running": list(state.running),
        "entry": state.entry,
        "conflicts": conflicts(desired, state),
        "reboot_required": bool(reasons),
        "reboot_reasons": reasons,
        "boot_id": state.boot_id,
    }


def contains_run(tokens: Sequence[str], run: Sequence[str]) -> bool:
    """Whether a list holds another one as an unbroken run."""
    return any(tuple(tokens[place : place + len(run)]) == tuple(run) for place in range(len(tokens) - len(run) + 1))


def _plain(desired: Sequence[str]) -> tuple[str, ...]:
    """Return arguments as they are compared, without the quotes that GRUB and the kernel move about."""
    return tuple(token.replace('"', "") for token in desired)


def _parse(text: str | None) -> DropIn | None:
    if text is None:
        return None
    ours = _OURS.search(text)
    retired = next((line[len(_RETIRED) :] for line in text.splitlines() if line.startswith(_RETIRED)), "")
    arguments = grub.split_arguments(ours[1].replace('\\"', '"')) if ours else ()
    return DropIn(text, arguments, grub.split_arguments(retired))


def _render(arguments: Sequence[str], retired: Sequence[str]) -> str:
    lines = [_MARK]
    if retired:
        lines.append(_RETIRED + " ".join(map(_quoted, retired)))
    if arguments:
        inside = " ".join(map(_quoted, arguments)).replace('"', '\\"')
        lines.append(f'{_VARIABLE}="${_VARIABLE} {inside}"')
    return "\n".join(lines)


def _summary(drop_in: DropIn | None) -> str | None:
    if drop_in is None:
        return None
    retired = f" (removed, until a boot without them: {' '.join(drop_in.retired)})" if drop_in.retired else ""
    return " ".join(drop_in.arguments) + retired


def _quoted(token: str) -> str:
    key, _equals, value = token.partition("=")
    return f'{key}="{value}"' if " " in value else token


def _still_running(desired: Sequence[str], state: BootState) -> tuple[str, ...]:
    return tuple(token for token in _gone(desired, state) if token in state.running)


def _gone(desired: Sequence[str], state: BootState) -> tuple[str, ...]:
    """Return what was ours, is no longer wanted, and nobody else sets."""
    kept = {*desired, *(one.token for one in state.elsewhere)}
    return tuple(dict.fromkeys(token for token in state.formerly_ours if token not in kept))


def _desired_text(desired: Sequence[str], state: BootState) -> str | None:
    retired = _still_running(desired, state)
    held = state.drop_in
    if not desired and not retired:
        return None
    # A comment on arguments that have gone since harms nobody, and dropping it would be a change after every boot.
    if held and desired and held.arguments == tuple(desired) and set(retired) <= set(held.retired):
        retired = held.retired
    return _render(desired, retired)


def _stale(desired: Sequence[str], state: BootState) -> bool:
    """Whether the entry that boots next lacks what is ours, or still has what was."""
    return not contains_run(state.pending, desired) or any(token in state.pending for token in _gone(desired, state))


def _others(state: BootState) -> tuple[str, ...]:
    """Return the next boot's arguments without ours."""
    ours = list(state.formerly_ours)
    kept: list[str] = []
    for token in reversed(state.pending):
        if token in ours:
            ours.remove(token)
        else:
            kept.append(token)
    return tuple(reversed(kept))


def _elsewhere(state: BootState) -> list[tuple[str, str]]:
    found = {one.token: f"{one.file} line {one.line}" for one in state.elsewhere}
    return [*found.items(), *((token, grub.CONFIG) for token in _others(state) if token not in found)]


def _faults(desired: Sequence[str]) -> Iterator[str]:
    for token in desired:
        if not _TOKEN.fullmatch(token):
            yield (
                f"{token!r} is no boot argument: give one key, or key=value, an item, the value in double quotes where "
                "it has blanks; signs that GRUB or a shell would read as theirs are not taken"
            )
        elif token.partition("=")[0] in _RESERVED:
            yield f"{token!r}: {token.partition('=')[0]} is the boot loader's to set"


def _limits(desired: Sequence[str], state: BootState) -> Iterator[str]:
    if state.obstacle:
        yield state.obstacle
    size = len(" ".join(predicted(desired, state)))
    if size > _MOST_CHARACTERS:
        yield f"the next boot's arguments would have {size} characters, the kernel reads {_MOST_CHARACTERS}: give fewer"


def _refusals(desired: Sequence[str], state: BootState) -> Iterator[str]:
    keys = {token.partition("=")[0] for token in desired}
    for token, where in _elsewhere(state):
        if token.partition("=")[0] in _FIRST_WINS and keys.intersection(_FIRST_WINS):
            yield f"{where} sets {token}, and the kernel ignores what comes after it: remove it there"


def _obstacle(host: Host, config: str | None, entry: bool) -> str | None:
    loader = _loader_info(host)
    if config is None or loader.startswith("systemd-boot"):
        found = [loader] if loader else []
        found += [f"{what} ({path})" for path, what in _OTHER_LOADERS.items() if host.exists(path)]
        return (
            f"boot arguments are set through GRUB as Debian and Ubuntu arrange it ({grub.CONFIG}), "
            f"and this machine has {' and '.join(dict.fromkeys(found)) or 'no known boot loader'}: set them there"
        )
    if re.search(r"^\s*blscfg\s*$", config, re.MULTILINE):
        return f"{grub.CONFIG} takes its entries from boot loader specification files (blscfg): set them there"
    if not entry:
        return f"{grub.CONFIG}: the entry that boots next cannot be told; set GRUB_DEFAULT to one that boots Linux"
    return None if _mkconfig() else "grub-mkconfig is not there: install grub-common, or remove its left-over grub.cfg"


def _loader_info(host: Host) -> str:
    try:
        # Four bytes of attributes, then UTF-16.
        return host.path(_LOADER_INFO).read_bytes()[4:].decode("utf-16-le", "replace").rstrip("\0")
    except OSError:
        return ""


def _mkconfig() -> str | None:
    return shutil.which("grub-mkconfig", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _prove(text: str, environment: str, arguments: Sequence[str], retired: Sequence[str]) -> None:
    entry = grub.default_entry(text, environment)
    tokens = (entry.tokens or ()) if entry else ()
    title = repr(entry.title) if entry else "no entry"
    if not contains_run(tokens, arguments):
        raise ApplyFailed(
            f"the grub.cfg that grub-mkconfig made boots {title} with '{' '.join(tokens)}', not with "
            f"'{' '.join(arguments)}'; the live one is as it was; look for a file read after {DROP_IN} that sets "
            f"{_VARIABLE}, and for entries that were not made from {grub.DEFAULTS}"
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
