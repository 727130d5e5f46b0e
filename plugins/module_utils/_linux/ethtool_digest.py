# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What drivers answer to the questions of ethtool(8), undecoded: enough to tell that something is no longer as it was.

Decoding costs ten times as much, and this is done every few seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .netlink_socket import GENERIC, NetlinkError, Socket, attribute, generic, nest, text, u32

# linux/ethtool_netlink.h
_FEATURES, _PRIVATE_FLAGS, _RINGS, _CHANNELS, _COALESCE, _PAUSE, _RSS = 11, 13, 15, 17, 19, 21, 26
_QUESTIONS = (_FEATURES, _PRIVATE_FLAGS, _RINGS, _CHANNELS, _COALESCE, _PAUSE, _RSS)
_HEADER, _HEADER_NAME, _HEADER_FLAGS, _COMPACT_BITSETS = 1, 2, 3, 1


def digests(names: Iterable[str]) -> dict[str, str]:
    """Return a digest over all that each interface's driver answers; what it has no answer for counts as that.

    Raises:
        OSError: The kernel gives no socket.
    """
    found = {}
    with Socket(GENERIC) as conversation:
        family = conversation.family("ethtool")
        if family is None:
            return {}
        for name in names:
            total = hashlib.sha256()
            header = nest(
                _HEADER, attribute(_HEADER_NAME, text(name)) + attribute(_HEADER_FLAGS, u32(_COMPACT_BITSETS))
            )
            for question in _QUESTIONS:
                try:
                    answer = conversation.request(family, generic(question, header))
                except NetlinkError as error:
                    answer = str(error.errno).encode()
                total.update(b"%d %d " % (question, len(answer)) + answer)
            found[name] = total.hexdigest()
    return found
