# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What a configuration of the TLS front says of itself: the digest by which nginx tells which one it serves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from .nginx_config import UNKNOWN

_DIGEST = re.compile(r'return 200 "([0-9a-f]{64})"')
_FILES = re.compile(r"^\s*(?:proxy_)?ssl_(?:certificate|certificate_key|trusted_certificate) (\S+);", re.MULTILINE)


def digest_of(text: str) -> str:
    """Return the digest that a configuration says, empty where it is none of ours."""
    found = _DIGEST.search(text)
    return found[1] if found else ""


def stamped(text: str, read: Callable[[str], bytes | None]) -> str:
    """Return the configuration with its digest: of all of it, and of all that is in the files it names.

    Args:
        text: The configuration.
        read: Returns what is in a file, None where it is absent.
    """
    bare = _DIGEST.sub(f'return 200 "{UNKNOWN}"', text)
    digest = hashlib.sha256(bare.encode())
    for name in _FILES.findall(bare):
        content = read(name)
        digest.update(f"\n{name} {len(content) if content is not None else 'absent'}\n".encode() + (content or b""))
    return bare.replace(UNKNOWN, digest.hexdigest())
