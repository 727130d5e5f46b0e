# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Names of interfaces and paths as this collection takes them: what is put together from them cannot reach further."""

from __future__ import annotations

import os
import re

from .converge import Invalid
from .system import Host

INTERFACE_BYTES = 15  # IFNAMSIZ less the final NUL
_ODD = re.compile(r"[^\w./+@:=,~-]")


def interface_name(text: object, where: str = "interface") -> str:
    """Return the name of an interface.

    Args:
        text: What was given.
        where: The option, for messages.

    Raises:
        Invalid: No interface can have this name; the message says why.
    """
    reason = interface_fault(text)
    if reason:
        raise Invalid(
            f"{where}: {text!r} {reason}, which no name of an interface does: give one that 'ip link' shows, of 1 to "
            f"{INTERFACE_BYTES} bytes without space, '/', ':' and '~'"
        )
    return str(text)


def interface_fault(text: object) -> str | None:
    """Return why no interface can have this name, as what the name is or has; None where one can."""
    if not isinstance(text, str) or not text:
        return "is empty"
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not UTF-8"
    if size > INTERFACE_BYTES:
        return f"has {size} bytes"
    if text in (".", ".."):
        return "is a directory"
    # The kernel takes neither of the first two; the third marks what is half done among our pins.
    bad = [one for one in text if one in "/:~" or one.isspace() or not one.isprintable()]
    return f"has {bad[0]!r} in it" if bad else None


def absolute_path(text: object, where: str = "path") -> str:
    """Return a path that is written in the one way in which everybody writes it.

    Two spellings of a directory would be two directories to whoever compares them with a mount table or a state file.

    Args:
        text: What was given.
        where: The option, for messages.

    Raises:
        Invalid: It is relative, has ``..`` in it, ends with a slash, or holds a character that mount tables, units or
            shells write in another way.
    """
    reason = path_fault(text)
    if reason:
        raise Invalid(
            f"{where}: {text!r} {reason}: give an absolute path of letters, digits and '. _ - + @ : = , ~', "
            "without '..' and without a slash at its end"
        )
    return str(text)


def path_fault(text: object) -> str | None:
    """Return why a path cannot be used, as what it is or has; None where it can."""
    if not isinstance(text, str) or not text:
        return "is empty"
    if not text.startswith("/"):
        return "is not absolute"
    if os.path.normpath(text) != text or text.startswith("//"):
        return f"is another way to write {os.path.normpath('/' + text.lstrip('/'))}"
    odd = _ODD.search(text)
    return f"has {odd.group()!r} in it" if odd else None


def refuse_symlinks(host: Host, path: str, where: str = "path") -> None:
    """Raise where a component of a path is a symbolic link: what is mounted or removed would be elsewhere.

    Raises:
        Invalid: The message names the link and what the path really is.
    """
    place = ""
    for name in path.strip("/").split("/"):
        place = f"{place}/{name}"
        if host.path(place).is_symlink():
            real = os.path.realpath(host.path(path))
            raise Invalid(f"{where}: {path} leads through {place}, which is a symbolic link: give {real}")
