# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The kernel's packet filter (nf_tables): tables by the nft command, and what tells that any of them changed.

Tables travel as JSON. Its form is that of libnftables-json(5).
"""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from .._core import commands
from .._core.converge import Impossible
from .detached import search_path
from .netlink_socket import Socket, attributes

COMMAND, PACKAGE = "nft", "nftables"
_NETFILTER = 12  # netlink protocol
# linux/netfilter/nfnetlink.h and nf_tables.h
_GET_GENERATION = 10 << 8 | 16
_HEADER_BYTES, _GENERATION_ID = 4, 1
_PATIENCE = 30.0  # seconds; a transaction takes milliseconds
# What a kernel without nf_tables answers: no such protocol, no such subsystem.
_NO_KERNEL = (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP)


class NftError(OSError):
    """The nft command, or the kernel through it, refused something; the text is theirs."""


def generation() -> int | None:
    """Return a number that is another one after each change of any table; None where the kernel has no nf_tables.

    Raises:
        OSError: The kernel does not answer, as to a process without CAP_NET_ADMIN.
    """
    try:
        with Socket(_NETFILTER) as conversation:
            answer = conversation.request(_GET_GENERATION, bytes(_HEADER_BYTES))
    except OSError as error:
        if error.errno in _NO_KERNEL:
            return None
        raise
    return int.from_bytes(dict(attributes(answer[_HEADER_BYTES:]))[_GENERATION_ID], "big")


def table(family: str, name: str) -> list[Mapping[str, Any]] | None:
    """Return what is in a table, in the kernel's order, without its counts; None where there is no such table.

    Raises:
        Impossible: There is no nft command.
        NftError: It failed.
    """
    tables = [one["table"] for one in _objects(_run(["-j", "list", "tables"])) if "table" in one]
    if (family, name) not in [(one["family"], one["name"]) for one in tables]:
        return None
    return _objects(_run(["-j", "list", "table", family, name]))


def commit(commands: Sequence[Mapping[str, Any]]) -> None:
    """Carry out commands in one transaction: all of them, or none.

    Raises:
        Impossible: There is no nft command.
        NftError: It, or the kernel, refused.
    """
    _run(["-j", "-f", "-"], json.dumps({"nftables": list(commands)}))


def _objects(text: str) -> list[Mapping[str, Any]]:
    try:
        return [one for one in json.loads(text)["nftables"] if "metainfo" not in one]
    except (ValueError, KeyError, TypeError) as error:
        raise NftError(errno.EPROTO, f"{COMMAND} answered what is not understood: {text[:200]!r}") from error


def _run(arguments: Sequence[str], text: str | None = None) -> str:
    environment = {"PATH": search_path(), "LC_ALL": "C"}
    try:
        done = commands.run([COMMAND, *arguments], environment, text or "", _PATIENCE)
    except FileNotFoundError as error:
        raise Impossible(f"there is no {COMMAND} command: install the package {PACKAGE}") from error
    except subprocess.TimeoutExpired as error:
        raise NftError(
            errno.ETIMEDOUT, f"{COMMAND} {' '.join(arguments)}: no answer within {_PATIENCE:.0f} s"
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-600:]
        raise NftError(errno.EIO, f"{COMMAND} {' '.join(arguments)}: {said or f'exit status {done.returncode}'}")
    return done.stdout
