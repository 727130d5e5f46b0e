# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a site needs of a host, as the ``preflight`` module is given it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core.names import absolute_path, interface_name
from .._core.sizes import parse_size
from .nic import Xdp
from .refusals import Requested
from .workers import WorkersDeclared

DEFAULT_FEATURES = ("btf", "bpffs", "cgroup")
NF_TABLES = "nf_tables"
FEATURES = (*DEFAULT_FEATURES, "iommu", NF_TABLES)


@dataclass(frozen=True)
class Port:
    """A port that a service is to listen on.

    Attributes:
        number: 1 to 65535.
        name: The service.
        protocol: ``tcp`` or ``udp``.
        variable: The Ansible variable that sets it.
        address: Where it is to listen; ``0.0.0.0`` or ``::`` for everywhere.
    """

    number: int
    name: str
    protocol: str = "tcp"
    variable: str = ""
    address: str = "0.0.0.0"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True)
class Space:
    """Disk space that something will take.

    Attributes:
        path: Where; its nearest existing parent is measured.
        need: Bytes.
        what: What takes it.
    """

    path: str
    need: int
    what: str


@dataclass(frozen=True)
class Command:
    """A program that must be there, and the package that brings it."""

    name: str
    package: str


@dataclass(frozen=True)
class Requirements:
    """What the site needs of a host.

    Attributes:
        distributions: Supported, each ``id version`` as in os-release, such as ``debian 13``.
        untested: The same, for those that may work.
        architectures: As ``uname -m`` prints them.
        kernel: Oldest release, such as ``6.1``.
        memory: Total memory (bytes).
        ports: Must be free, or held by a service of ours.
        space: Must be free; what falls on one file system is added up.
        interfaces: Must exist.
        pending_interfaces: Will exist by then, so they are not missed.
        features: Out of FEATURES.
        commands: Must be found in the path.
        policy: Entries that the XDP program is to be given, each with ``prefix`` and ``action``.
        policies: By name.
        xdp: Programs that are to be attached.
        requested: What will be requested of other modules on this host.
        workers: What go-backend is to serve.
    """

    distributions: Sequence[str] = ("debian 12", "debian 13")
    untested: Sequence[str] = ("ubuntu 24.04",)
    architectures: Sequence[str] = ("x86_64", "aarch64")
    kernel: str = "6.1"
    memory: int = 0
    ports: Sequence[Port] = ()
    space: Sequence[Space] = ()
    interfaces: Sequence[str] = ()
    pending_interfaces: Sequence[str] = ()
    features: Sequence[str] = DEFAULT_FEATURES
    commands: Sequence[Command] = ()
    policy: Sequence[Mapping[str, Any]] = ()
    policies: Mapping[str, Any] = field(default_factory=dict)
    xdp: Sequence[Xdp] = ()
    requested: Requested = field(default_factory=Requested)
    workers: WorkersDeclared = field(default_factory=WorkersDeclared)


def from_options(options: Mapping[str, Any]) -> Requirements:
    """Return the requirements in the options of the ``preflight`` module.

    Raises:
        Invalid: A size is none.
    """
    pending = options["pending_interfaces"]
    absolute_path(options["pin_root"], "pin_root")
    for where, names in (
        ("interfaces", options["interfaces"]),
        ("pending_interfaces", pending),
        ("xdp", [one["name"] for one in options["xdp"]]),
    ):
        for name in names:
            interface_name(name, where)
    return Requirements(
        distributions=options["distributions"],
        untested=options["untested_distributions"],
        architectures=options["architectures"],
        kernel=options["kernel"],
        memory=options["memory_bytes"],
        ports=[
            Port(one["port"], one["name"], one["protocol"], one["variable"], address)
            for one in options["ports"]
            for address in one["addresses"] or [one["address"]]
        ],
        space=[Space(one["path"], one["need_bytes"], one["what"]) for one in options["disk"]],
        interfaces=options["interfaces"],
        pending_interfaces=pending,
        features=options["features"],
        commands=[Command(**one) for one in options["commands"]],
        policy=options["policy"],
        policies=options["policies"],
        xdp=[
            Xdp(one["name"], one["mode"], options["pin_root"]) for one in options["xdp"] if one["state"] == "attached"
        ],
        requested=Requested(
            nics=[one for one in options["nics"] if not one.get("name") or one["name"] not in pending],
            drivers=options["drivers"],
            reservations=options["hugepages"].get("reservations") or [],
            keep=parse_size(options["hugepages"].get("keep") or 0),
            cpu_plan={name: value for name, value in options["cpu_plan"].items() if value},
            boot_arguments=options["boot_arguments"],
            sysctls=options["sysctls"],
            users=options["users"],
            containers=options["containers"],
            bridges=options["bridges"],
        ),
        workers=WorkersDeclared(
            workers=options["workers"],
            interfaces=options["xdp"],
            policies=options["policies"],
            reservations=options["hugepages"].get("reservations") or [],
            pending=pending,
            **next(
                (
                    {"memory": one["memory"], "pids": one["pids"]}
                    for one in options["containers"]
                    if one["role"] == "go_backend"
                ),
                {},
            ),
            capabilities=options["worker_capabilities"],
            pin_root=options["pin_root"],
        ),
    )
