# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Kernel modules of drivers: their options, and what version, firmware and XDP features they must have.

Options go into one file of ours below ``/etc/modprobe.d``. initramfs-tools copies that directory into the initramfs,
and a driver that is loaded from there gets the copy's options; so an initramfs that is older than our file is made
anew, whether or not the driver is in it today. A driver is never reloaded here: that takes its links down, and when to
do so is the operator's to say.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .._core.converge import ApplyFailed, Change, Findings, Impossible, Invalid, Refused
from .._core.system import Host
from .._core.versions import parse_version
from .._linux import ethtool, netlink
from .._linux.topology import read_kernel

FILE = "/etc/modprobe.d/tripod.conf"
MARK = "# Written by tripod.baremetal.driver, which overwrites and removes it."
# Where kmod looks, see modprobe.d(5).
_DIRECTORIES = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r"[\w.,:/@+-]+", re.ASCII)
_PARAMETER = re.compile(r"(\w+):.*\(([^()]+)\)$")
_BOOLEANS = {"y": "Y", "1": "Y", "n": "N", "0": "N"}


@dataclass(frozen=True)
class Driver:
    """What is asked of one driver.

    Attributes:
        name: Of its kernel module, with underscores.
        options: Module options by parameter.
        minimum_version: Of the driver; the kernel's for drivers without a version of their own.
        minimum_firmware: Of every NIC that it drives.
        xdp_features: What it must offer on every NIC that it drives, as netdev names them.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    minimum_version: str | None = None
    minimum_firmware: str | None = None
    xdp_features: Collection[str] = ()

    @classmethod
    def from_option(cls, option: Mapping[str, Any]) -> Driver:
        """Return what an entry of the ``drivers`` option asks for."""
        return cls(
            name=plain_name(option["name"]),
            options={key: _module_value(value) for key, value in (option.get("options") or {}).items()},
            minimum_version=option.get("minimum_version"),
            minimum_firmware=option.get("minimum_firmware"),
            xdp_features=option.get("xdp_features") or (),
        )

    @property
    def line(self) -> str:
        """Its line of modprobe.d."""
        return f"options {self.name} " + " ".join(f"{key}={value}" for key, value in sorted(self.options.items()))


@dataclass(frozen=True)
class Module:
    """A kernel module.

    Attributes:
        known: Whether there is one of that name.
        loaded: Whether it runs.
        builtin: Whether it is part of the kernel image, where modprobe.d has no effect.
        types: Parameters and their types; None where it is not known which there are.
        values: Parameters that can be read back.
        version: Its own, else the kernel's release.
    """

    known: bool
    loaded: bool = False
    builtin: bool = False
    types: Mapping[str, str] | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True)
class DrivenNic:
    """A NIC as its driver tells of it; features are None where the kernel cannot tell."""

    name: str
    driver: str
    firmware: str | None = None
    features: Collection[str] | None = None


@dataclass(frozen=True)
class Elsewhere:
    """A module option that somebody else sets."""

    module: str
    parameter: str
    value: str
    where: str


@dataclass(frozen=True)
class DriverState:
    """The host as it is.

    Attributes:
        text: Our file without its last newline; None where it is absent.
        modules: By name.
        elsewhere: Options that other files and boot arguments set.
        images: Every initramfs that is kept up to date, and whether it is older than our file.
        changed_since_boot: Whether our file was written in this boot.
    """

    text: str | None
    modules: Mapping[str, Module] = field(default_factory=dict)
    nics: Sequence[DrivenNic] = ()
    elsewhere: Sequence[Elsewhere] = ()
    images: Mapping[str, bool] = field(default_factory=dict)
    changed_since_boot: bool = False


class Door(Protocol):
    """The part of the system that is asked rather than read from files."""

    def modinfo(self, name: str, what: str) -> str | None:
        """Return a field of a module's description, None where there is no such module."""

    def nics(self) -> Sequence[DrivenNic]:
        """Return every NIC."""

    def update_initramfs(self) -> None:
        """Make every initramfs anew."""


class LiveDoor:
    """The door to the running system."""

    def modinfo(self, name: str, what: str) -> str | None:
        """Ask modinfo(8)."""
        done = _run(["modinfo", "-F", what, name])
        return None if done.returncode else done.stdout

    def nics(self) -> Sequence[DrivenNic]:
        """Ask the drivers, and the netdev family for what they can do with XDP."""
        found = []
        for link in netlink.links():
            answer = ethtool.describe(link.name)
            if answer.driver:
                features = netlink.xdp_features(link.index)
                found.append(DrivenNic(link.name, plain_name(answer.driver), answer.firmware, features))
        return found

    def update_initramfs(self) -> None:
        """Run update-initramfs(8)."""
        done = _run(["update-initramfs", "-u", "-k", "all"])
        if done.returncode:
            raise ApplyFailed(f"update-initramfs failed ({done.returncode}): {' '.join(done.stderr.split()[-60:])}")


class Drivers:
    """The resource for ``converge``.

    Args:
        desired: What is asked; reading needs the names in it.
        door: Where modules and NICs are asked for.
    """

    def __init__(self, desired: Sequence[Driver], door: Door) -> None:
        self._desired = desired
        self._door = door

    def read(self, host: Host) -> DriverState:
        """Read our file, the modules that are named, and the NICs where something is asked of them."""
        requests_nics = any(driver.minimum_firmware or driver.xdp_features for driver in self._desired)
        written = _modified(host, FILE)
        boot = re.search(r"^btime (\d+)", host.read("/proc/stat") or "", re.MULTILINE)
        return DriverState(
            text=host.read(FILE),
            modules={driver.name: self._module(host, driver) for driver in self._desired},
            nics=tuple(self._door.nics()) if requests_nics else (),
            elsewhere=tuple(_elsewhere(host)),
            images=dict(_images(host, written)),
            changed_since_boot=written is not None and boot is not None and written > int(boot[1]),
        )

    def validate(self, desired: Sequence[Driver], state: DriverState) -> None:
        """Raise with every reason at once."""
        headline = "drivers: nothing was changed"
        Findings(list(_faults(desired))).raise_if_any(Invalid, headline)
        Findings(list(_limits(desired, state))).raise_if_any(Impossible, headline)
        Findings(list(_refusals(desired, state))).raise_if_any(Refused, headline)

    def plan(self, desired: Sequence[Driver], state: DriverState) -> list[Change]:
        """Return the change of each driver's line, then every initramfs that lacks it."""
        before, after = _lines(state.text), _lines(_text(desired))
        changes = [
            Change((FILE, name), before.get(name), after.get(name))
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        ]
        if not changes and state.text != _text(desired):
            changes.append(
                Change((FILE, "text"), None if state.text is None else "outdated", _text(desired) and "current")
            )
        # Where only an emptied file is left to remove, every initramfs has the emptied one already.
        contents_change = bool(before or after) and bool(changes)
        for name, older in state.images.items():
            if older or contents_change:
                changes.append(Change((name, "module options"), "outdated", "current"))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Write our file, make every initramfs anew, and only then remove a file that is no longer needed."""
        text = _text(self._desired)
        if any(change.path[0] == FILE for change in changes):
            # Its time tells which initramfs is older; without a file nothing would.
            host.write_atomically(FILE, (text or MARK) + "\n")
        if any(change.path[1] == "module options" for change in changes):
            self._door.update_initramfs()
        if text is None:
            host.remove(FILE)

    def _module(self, host: Host, driver: Driver) -> Module:
        place = f"/sys/module/{driver.name}"
        loaded = host.exists(place)
        filename = self._door.modinfo(driver.name, "filename")
        described = self._door.modinfo(driver.name, "parm") if filename else None
        matches = [_PARAMETER.match(line) for line in (described or "").splitlines()]
        read = {name: host.read(f"{place}/parameters/{name}") for name in host.list(f"{place}/parameters")}
        return Module(
            known=loaded or filename is not None,
            loaded=loaded,
            builtin=(filename or "").strip() == "(builtin)",
            types=None if described is None else {match[1]: match[2] for match in matches if match},
            values={name: value for name, value in read.items() if value is not None},
            version=host.read(f"{place}/version") or host.read("/proc/sys/kernel/osrelease") or "",
        )


def plain_name(name: str) -> str:
    """Return a module's name as the kernel writes it; kmod takes a dash for an underscore."""
    return name.replace("-", "_")


def _module_value(value: object) -> str:
    """Return an option's value as a kernel module reads it; YAML makes a boolean of a bare ``Y``."""
    return ("1" if value else "0") if isinstance(value, bool) else str(value)


def reload_reasons(desired: Sequence[Driver], state: DriverState, check: bool = False) -> dict[str, list[str]]:
    """Return, by driver, the options that are set and not in effect."""
    text_changes = check and state.text != _text(desired)
    reasons: dict[str, list[str]] = {}
    for driver in desired:
        module = state.modules[driver.name]
        for parameter, value in sorted(driver.options.items() if module.loaded else ()):
            now = module.values.get(parameter)
            kind = (module.types or {}).get(parameter, "")
            if now is not None and not same_value(kind, now, value):
                words = f"{parameter} is {now}, {value} is set"
            elif now is None and (state.changed_since_boot or text_changes):
                words = f"{parameter} cannot be read back, and its file was written in this boot"
            else:
                continue
            reload = f"reload the driver (modprobe -r {driver.name} && modprobe {driver.name}), or reboot"
            reasons.setdefault(driver.name, []).append(f"{driver.name}: {words}: {reload}")
    return reasons


def same_value(kind: str, now: str, desired: str) -> bool:
    """Whether the kernel shows a value that was given in another notation (``Y`` for ``1``, ``16`` for ``0x10``)."""
    if kind.endswith("bool"):
        return _BOOLEANS.get(now.lower(), now) == _BOOLEANS.get(desired.lower(), desired)
    try:
        return [int(item, 0) for item in now.split(",")] == [int(item, 0) for item in desired.split(",")]
    except ValueError:
        return now == desired


def facts(desired: Sequence[Driver], state: DriverState, check: bool) -> dict[str, Any]:
    """Return what a module tells beside its changes."""
    reasons = reload_reasons(desired, state, check)
    return {
        "reload_required": sorted(reasons),
        "reboot_required": bool(reasons),
        "reboot_reasons": [reason for name in sorted(reasons) for reason in reasons[name]],
        "drivers": [
            {
                "name": driver.name,
                "loaded": state.modules[driver.name].loaded,
                "version": state.modules[driver.name].version,
                "parameters": dict(state.modules[driver.name].values),
            }
            for driver in desired
        ],
    }


def _text(desired: Sequence[Driver]) -> str | None:
    lines = [driver.line for driver in sorted(desired, key=lambda driver: driver.name) if driver.options]
    return "\n".join([MARK, *lines]) if lines else None


def _lines(text: str | None) -> dict[str, str]:
    found = {}
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "options":
            found[words[1]] = " ".join(words[2:])
    return found


def _modified(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None


def _images(host: Host, written: float | None) -> Iterator[tuple[str, bool]]:
    if not any(host.exists(f"{folder}/update-initramfs") for folder in ("/usr/sbin", "/sbin")):
        return
    for name in host.list("/boot"):
        # update-initramfs looks after those that have a kernel.
        if name.startswith("initrd.img-") and host.exists(f"/boot/vmlinuz-{name[len('initrd.img-') :]}"):
            made = _modified(host, f"/boot/{name}") or 0
            yield f"/boot/{name}", written is not None and made < written


def _elsewhere(host: Host) -> Iterator[Elsewhere]:
    # A file hides others of its name in directories further on.
    files = {name: f"{folder}/{name}" for folder in reversed(_DIRECTORIES) for name in host.list(folder)}
    for path in sorted(files.values()):
        if path == FILE or not path.endswith(".conf"):
            continue
        for number, line in enumerate((host.read(path) or "").splitlines(), 1):
            words = line.split()
            if len(words) > 2 and words[0] == "options":
                for option in words[2:]:
                    parameter, _equals, value = option.partition("=")
                    yield Elsewhere(plain_name(words[1]), parameter, value, f"{path} line {number}")
    for token in read_kernel(host).cmdline:
        key, equals, value = token.partition("=")
        name, dot, parameter = key.partition(".")
        if equals and dot:
            yield Elsewhere(plain_name(name), parameter, value, f"boot argument {token}")


def _faults(desired: Sequence[Driver]) -> Iterator[str]:
    names = [driver.name for driver in desired]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is named twice: put all that is asked of it into one item"
    for driver in desired:
        if not _NAME.fullmatch(driver.name):
            yield f"{driver.name!r} is no name of a kernel module"
        for key, value in driver.options.items():
            if not (_NAME.fullmatch(key) and _VALUE.fullmatch(value)):
                yield f"{driver.name}: {key}={value!r} is no option: values are letters, digits and . , : / @ + - _"
        for what, version in (("version", driver.minimum_version), ("firmware", driver.minimum_firmware)):
            if version and parse_version(version) is None:
                yield f"{driver.name}: minimum {what} {version!r} is no version: give numbers and dots, such as 5.10"
        for feature in sorted(set(driver.xdp_features) - set(netlink.XDP_FEATURES)):
            yield f"{driver.name}: {feature!r} is no XDP feature: there are {', '.join(netlink.XDP_FEATURES)}"


def _limits(desired: Sequence[Driver], state: DriverState) -> Iterator[str]:
    for driver in desired:
        module = state.modules[driver.name]
        if not module.known:
            yield f"{driver.name}: this kernel has no such module: check the name, or install its package"
            continue
        if module.builtin and driver.options:
            tokens = " ".join(f"{driver.name}.{key}={value}" for key, value in sorted(driver.options.items()))
            yield f"{driver.name} is built into the kernel, which takes options as boot arguments: set {tokens} there"
        unknown = sorted(set(driver.options) - set(module.types)) if module.types is not None else []
        for key in unknown:
            known = ", ".join(sorted(module.types or ())) or "none"
            yield f"{driver.name} has no parameter {key}: it has {known}"
        yield from _too_old(f"{driver.name}: the driver", module.version, driver.minimum_version)
        nics = [nic for nic in state.nics if nic.driver == driver.name]
        if not nics and (driver.minimum_firmware or driver.xdp_features):
            yield f"{driver.name} drives no NIC here, so its firmware and XDP features cannot be told"
        for nic in nics:
            yield from _too_old(
                f"{nic.name} ({driver.name}): the firmware", nic.firmware or "", driver.minimum_firmware
            )
            if driver.xdp_features and nic.features is None:
                yield f"{nic.name} ({driver.name}): this kernel cannot tell XDP features (6.3 and newer can)"
            elif set(driver.xdp_features) - set(nic.features or ()):
                missing = ", ".join(sorted(set(driver.xdp_features) - set(nic.features or ())))
                yield f"{nic.name}: {driver.name} lacks the XDP features {missing}: take a newer kernel or another NIC"


def _too_old(what: str, version: str, minimum: str | None) -> Iterator[str]:
    least = parse_version(minimum) if minimum else None
    if least is None:
        return
    now = parse_version(version)
    if now is None:
        yield f"{what} tells no version ({version or 'nothing'}), at least {minimum} is asked for"
    elif now < least:
        yield f"{what} is {version}, at least {minimum} is asked for: upgrade it"


def _refusals(desired: Sequence[Driver], state: DriverState) -> Iterator[str]:
    if state.text is not None and not state.text.startswith(MARK):
        yield f"{FILE} is not ours: move it to another name"
    for driver in desired:
        for other in state.elsewhere:
            value = driver.options.get(other.parameter) if other.module == driver.name else None
            if value is not None and value != other.value:
                yield (
                    f"{driver.name}: {other.where} sets {other.parameter}={other.value}, {value} is asked for: "
                    "remove it there"
                )


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise Impossible(f"{command[0]} is not there: install kmod and initramfs-tools") from error
