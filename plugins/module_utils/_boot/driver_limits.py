# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What stands against a request of drivers: what this host's modules and NICs lack, and what others set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._core.versions import parse_version
from .driver_request import Driver
from .driver_state import FILE, MARK, DriverState


def limits(desired: Sequence[Driver], state: DriverState) -> Iterator[str]:
    """Yield what this host cannot give."""
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
            yield f"{driver.name} drives no NIC here, so its firmware and XDP features are unknown"
        for nic in nics:
            yield from _too_old(
                f"{nic.name} ({driver.name}): the firmware", nic.firmware or "", driver.minimum_firmware
            )
            if driver.xdp_features and nic.features is None:
                yield f"{nic.name} ({driver.name}): this kernel cannot report XDP features (6.3 and newer can)"
            elif set(driver.xdp_features) - set(nic.features or ()):
                missing = ", ".join(sorted(set(driver.xdp_features) - set(nic.features or ())))
                yield f"{nic.name}: {driver.name} lacks the XDP features {missing}: take a newer kernel or another NIC"


def refusals(desired: Sequence[Driver], state: DriverState) -> Iterator[str]:
    """Yield what others have set otherwise."""
    if state.text is not None and not state.text.startswith(MARK):
        yield f"{FILE} is not ours: move it to another name"
    for driver in desired:
        for other in state.foreign:
            value = driver.options.get(other.parameter) if other.module == driver.name else None
            if value is not None and value != other.value:
                yield (
                    f"{driver.name}: {other.where} sets {other.parameter}={other.value}, {value} is requested: "
                    "remove it there"
                )


def _too_old(what: str, version: str, minimum: str | None) -> Iterator[str]:
    least = parse_version(minimum) if minimum else None
    if least is None:
        return
    now = parse_version(version)
    if now is None:
        yield f"{what} reports no version ({version or 'nothing'}), at least {minimum} is required"
    elif now < least:
        yield f"{what} is {version}, at least {minimum} is required: upgrade it"
