# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""``tripod-host policy serve``: the process that changes policies and bans for those who may ask it."""

from __future__ import annotations

import argparse
import logging
import os
import threading
import time
from contextlib import suppress

from .._core.system import Host
from .daemon import end_on_request, single_instance
from .policy_bans import Bans
from .policy_places import BanMaps, Trusted
from .policy_server import Server
from .policy_service import PolicyService, tend
from .reapply import add_state_dir, path

RUNTIME = "/run/tripod-policy"
SOCKET = f"{RUNTIME}/policy.sock"
LINK = "/run/tripod/policy.sock"  # for people; services mount the socket's own directory
PID_FILE = f"{RUNTIME}/policy.pid"
TEND = 1.0  # seconds
SWEEP = 86400.0  # seconds

log = logging.getLogger("tripod-host")


def _number(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a user or group")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host policy serve``."""
    add_state_dir(parser)
    parser.add_argument("--socket", default=SOCKET, type=path, help="where to listen (%(default)s)")
    parser.add_argument("--pid-file", default=PID_FILE, type=path, help="noted and locked while running (%(default)s)")
    parser.add_argument(
        "--user",
        type=_number,
        action="append",
        default=[],
        metavar="UID",
        help="who may connect beside root; repeatable",
    )
    parser.add_argument("--group", type=_number, default=0, metavar="GID", help="of the socket (%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Serve policies until SIGTERM or SIGINT.

    Raises:
        Refused: Another one holds the pid file.
    """
    end_on_request()
    # Others can look into the directory, and who can open a file can lock it.
    with single_instance(options.pid_file, options.version, 0o600):
        host, ended = Host(), threading.Event()
        bans = Bans(host, BanMaps(host, options.state_dir), Trusted(host, options.state_dir))
        service = PolicyService(host, bans, options.state_dir)
        server = Server(options.socket, options.group, options.user, service.handle)
        _point(options.socket)
        clock = threading.Thread(target=_tend, args=(service, bans, ended), daemon=True)
        clock.start()
        log.info("serving policies on %s", options.socket)
        try:
            server.run(ended)
        finally:
            ended.set()
            clock.join(TEND)
            _unpoint(options.socket)
    return 0


def _tend(service: PolicyService, bans: Bans, ended: threading.Event) -> None:
    sweep = 0.0
    while True:
        tend(bans.tend, "bans")
        tend(service.tend, "policies")
        if time.monotonic() >= sweep:
            sweep = time.monotonic() + SWEEP
            tend(service.sweep, "what nothing names any more")
        if ended.wait(TEND):
            return


def _point(socket: str) -> None:
    """Let people find the socket where the rest of the agent's is."""
    if socket != SOCKET:
        return
    with suppress(OSError):
        os.makedirs(os.path.dirname(LINK), exist_ok=True)
        if not os.path.islink(LINK) or os.readlink(LINK) != socket:
            with suppress(FileNotFoundError):
                os.unlink(LINK)
            os.symlink(socket, LINK)


def _unpoint(socket: str) -> None:
    with suppress(OSError):
        os.unlink(socket)
        if os.readlink(LINK) == socket:
            os.unlink(LINK)
