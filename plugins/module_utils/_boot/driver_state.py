# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Kernel modules of drivers as a host has them: loaded, described, and given options by files and boot arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._core.system import Host
from .._linux.topology import read_kernel
from .driver_request import Driver, plain_name
from .driver_tools import DrivenNic, DriverTools

FILE = "/etc/modprobe.d/tripod.conf"
INITRAMFS = "/boot/initrd.img-"
MARK = "# Written by tripod.baremetal.driver, which overwrites and removes it."
# Where kmod looks, see modprobe.d(5).
_DIRECTORIES = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d")
_PARAMETER = re.compile(r"(\w+):.*\(([^()]+)\)$")


@dataclass(frozen=True)
class Module:
    """A kernel module.

    Attributes:
        known: Whether this kernel has one of that name.
        loaded: Whether it runs.
        builtin: Whether it is part of the kernel image, where modprobe.d has no effect.
        types: Types by parameter; None where the parameters are not known.
        values: Values by parameter, of those that can be read back.
        version: Its own, else the kernel's release.
    """

    known: bool
    loaded: bool = False
    builtin: bool = False
    types: Mapping[str, str] | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True)
class ForeignOption:
    """A module option that is set by a file or a boot argument of others."""

    module: str
    parameter: str
    value: str
    where: str


@dataclass(frozen=True)
class DriverState:
    """The drivers of a host as they are.

    Attributes:
        text: Our file without its last newline; None where it is absent.
        modules: By name.
        foreign: Options that other files and boot arguments set.
        images: Every initramfs that can hold a driver concerned, and whether it is older than our file.
        changed_since_boot: Whether our file was written in this boot.
    """

    text: str | None
    modules: Mapping[str, Module] = field(default_factory=dict)
    nics: Sequence[DrivenNic] = ()
    foreign: Sequence[ForeignOption] = ()
    images: Mapping[str, bool] = field(default_factory=dict)
    changed_since_boot: bool = False


def read_state(host: Host, desired: Sequence[Driver], tools: DriverTools) -> DriverState:
    """Read our file, the modules that are named, and the NICs where something is required of them."""
    requires_nics = any(driver.minimum_firmware or driver.xdp_features for driver in desired)
    written = _modified(host, FILE)
    boot = re.search(r"^btime (\d+)", host.read("/proc/stat") or "", re.MULTILINE)
    text = host.read(FILE)
    return DriverState(
        text=text,
        modules={driver.name: _module(host, driver.name, tools) for driver in desired},
        nics=tuple(tools.nics()) if requires_nics else (),
        foreign=tuple(_foreign(host)),
        images=dict(_images(host, written, _concerned(text, desired))),
        changed_since_boot=written is not None and boot is not None and written > int(boot[1]),
    )


def _module(host: Host, name: str, tools: DriverTools) -> Module:
    place = f"/sys/module/{name}"
    loaded = host.exists(place)
    filename = tools.modinfo(name, "filename")
    described = tools.modinfo(name, "parm") if filename else None
    matches = [_PARAMETER.match(line) for line in (described or "").splitlines()]
    read = {parameter: host.read(f"{place}/parameters/{parameter}") for parameter in host.list(f"{place}/parameters")}
    return Module(
        known=loaded or filename is not None,
        loaded=loaded,
        builtin=(filename or "").strip() == "(builtin)",
        types=None if described is None else {match[1]: match[2] for match in matches if match},
        values={parameter: value for parameter, value in read.items() if value is not None},
        version=host.read(f"{place}/version") or host.read("/proc/sys/kernel/osrelease") or "",
    )


def _modified(host: Host, path: str) -> float | None:
    try:
        return host.path(path).stat().st_mtime
    except OSError:
        return None


def _concerned(text: str | None, desired: Sequence[Driver]) -> frozenset[str]:
    """Return the drivers that our file has options for, or is to have; none where that is not known."""
    held = re.findall(r"^options (\S+) ", text or "", re.MULTILINE)
    return frozenset({*held, *(driver.name for driver in desired if driver.options)})


def _has_one_of(host: Host, release: str, drivers: frozenset[str]) -> bool:
    """Whether a kernel has a module of one of the drivers; without a list of its modules it may have."""
    modules = host.read(f"/lib/modules/{release}/modules.dep")
    if modules is None or not drivers:
        return True
    return any(
        plain_name(found) in drivers for found in re.findall(r"^(?:\S*/)?([^/\s]+)\.ko\b", modules, re.MULTILINE)
    )


def _images(host: Host, written: float | None, drivers: frozenset[str]) -> Iterator[tuple[str, bool]]:
    if not any(host.exists(f"{folder}/update-initramfs") for folder in ("/usr/sbin", "/sbin")):
        return
    for name in host.list("/boot"):
        # update-initramfs looks after those that have a kernel.
        path = f"/boot/{name}"
        release = path[len(INITRAMFS) :]
        if not path.startswith(INITRAMFS) or not host.exists(f"/boot/vmlinuz-{release}"):
            continue
        if _has_one_of(host, release, drivers):
            yield path, written is not None and (_modified(host, path) or 0) < written


def _foreign(host: Host) -> Iterator[ForeignOption]:
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
                    yield ForeignOption(plain_name(words[1]), parameter, value, f"{path} line {number}")
    for token in read_kernel(host).cmdline:
        key, equals, value = token.partition("=")
        name, dot, parameter = key.partition(".")
        if equals and dot:
            yield ForeignOption(plain_name(name), parameter, value, f"boot argument {token}")
