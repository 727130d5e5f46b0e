# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Our table as the kernel has it, and what on the host a request could take hold of by mistake."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._core import state_store
from .._core.errors import in_words
from .._core.state_store import StateFile
from .._core.system import Host
from .._linux import linkstate, netlink, nftables
from .._linux.detached import search_path
from .request import STATE_FILE
from .ruleset import FAMILY, TABLE, Chain, parse


@dataclass(frozen=True)
class FirewallState:
    """The packet filter as it is.

    Attributes:
        chains: Of our table, by name; None where there is no such table.
        others: What else is in it.
        obstacle: Why no table can be read or made here; "" where one can.
        links: Kinds of the host's interfaces by name, "" for hardware.
        networks: Prefixes that interfaces have an address of, by name.
        state_file: Our state file.
    """

    chains: Mapping[str, Chain] | None = None
    others: Sequence[str] = ()
    obstacle: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    state_file: StateFile | None = None


def obstacle(command: bool = True) -> str:
    """Return why this host can have no table; "" where it can.

    Args:
        command: Whether the nft command must be there by now.
    """
    try:
        if nftables.generation() is None:
            return "this kernel has no nf_tables: boot one with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET"
    except OSError as error:
        return f"nf_tables does not answer: {in_words(error)}"
    if command and not shutil.which(nftables.COMMAND, path=search_path()):
        return f"there is no {nftables.COMMAND} command: install the package {nftables.PACKAGE}"
    return ""


def read_state(host: Host, directory: str = state_store.DIRECTORY) -> FirewallState:
    """Read our table, our state file, and what interfaces there are."""
    why_not = obstacle()
    listed = None if why_not else nftables.table(FAMILY, TABLE)
    found, others = ({}, []) if listed is None else parse(listed)
    return FirewallState(
        chains=None if listed is None else found,
        others=others,
        obstacle=why_not,
        links={link.name: link.kind or "" for link in netlink.links()},
        networks=linkstate.interface_networks(),
        state_file=state_store.load(host, STATE_FILE, directory),
    )
