# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What may be requested as boot arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .kernel_args_repeated import contradictions

# Printable ASCII. GRUB puts a backslash before each quote and each backslash, and the kernel takes no backslash away.
_SIGNS = r"!#-&(-\[\]-~"
_TOKEN = re.compile(rf'\w(?:(?!=)[{_SIGNS}])*(?:=(?:[{_SIGNS}]*|"[{_SIGNS} ]*"))?', re.ASCII)
# GRUB, or the root file system's place, decides these.
_RESERVED = ("BOOT_IMAGE", "root", "initrd")


def plain(desired: Sequence[str]) -> tuple[str, ...]:
    """Return arguments as they are compared, without the quotes that GRUB and the kernel move about."""
    return tuple(token.replace('"', "") for token in desired)


def faults(desired: Sequence[str]) -> Iterator[str]:
    """Yield what is malformed in the request itself."""
    for token in desired:
        if not _TOKEN.fullmatch(token):
            yield (
                f"{token!r} is no boot argument: give one key, or key=value, an item, the value in double quotes where "
                "it has blanks; quotes within a value, backslashes and signs beyond ASCII do not pass GRUB unchanged"
            )
        elif token.partition("=")[0] in _RESERVED:
            yield f"{token!r}: {token.partition('=')[0]} is the boot loader's to set"
    yield from contradictions(plain(desired))
