# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Policies on the command line: look, try, change, go back; the agent's policy process does what changes anything."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .._core.converge import Invalid
from .._core.errors import reason
from .._core.system import Host
from .._guard import sessions
from . import policy_export, policy_preview, policy_serve, policy_top, policy_watch
from .command import Command
from .policy_client import call
from .policy_serve import SOCKET
from .reapply import path

_BAN_FOR = "1h"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, one in ACTIONS.items():
        action = actions.add_parser(name, help=one.summary, description=one.run.__doc__)
        one.add_arguments(action)
        action.set_defaults(act=one.run)


def run(options: argparse.Namespace) -> int:
    """Carry out one of the actions on policies."""
    act: Callable[[argparse.Namespace], int] = options.act
    return act(options)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", default=SOCKET, type=path, help="of the agent (%(default)s)")
    parser.add_argument("--json", action="store_true", help="for programs")


def _add_policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", help="its name; not needed where interfaces name one only")
    _add_common(parser)


def _add_show(parser: argparse.ArgumentParser) -> None:
    _add_policy(parser)
    parser.add_argument("--owner", default="api", help="whose document comes whole with --json (%(default)s)")


def _add_put(parser: argparse.ArgumentParser) -> None:
    _add_change(parser)
    parser.add_argument("file", metavar="FILE", help="the owner's document as JSON; - is standard input")
    parser.add_argument("--name", default="", help="a name for the revision")
    parser.add_argument("--why", default="", help="the reason, for the history")


def _add_revert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", type=int, help="which to go back to; by default the one before")
    _add_change(parser)


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", type=int, help="which to go back to")
    _add_guarded(parser)


def _add_change(parser: argparse.ArgumentParser) -> None:
    _add_guarded(parser)
    parser.add_argument("--owner", default="api", help="whose document it is: api or feed:NAME (%(default)s)")


def _add_guarded(parser: argparse.ArgumentParser) -> None:
    _add_policy(parser)
    parser.add_argument("--confirm", type=int, metavar="SECONDS", help="take it back unless it is confirmed in time")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", type=int, help="a revision of the history")
    parser.add_argument("to", type=int, nargs="?", help="another; by default what is in force")
    _add_policy(parser)


def _add_ban(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", help="a single IPv4 or IPv6 address")
    parser.add_argument(
        "--for",
        dest="seconds",
        type=policy_watch.duration,
        default=_BAN_FOR,
        help="how long, as 30s, 10m, 2d (%(default)s)",
    )
    parser.add_argument("--why", default="", help="the reason")
    _add_common(parser)


def _add_unban(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", help="as it was banned")
    _add_common(parser)


def run_show(options: argparse.Namespace) -> int:
    """Show a policy: its parts with their owners, and what waits to be confirmed."""
    found = call(options.socket, "get", policy=_policy(options), owner=options.owner)
    return _say(options, found, _policy_lines(found))


def run_put(options: argparse.Namespace) -> int:
    """Replace an owner's document of a policy."""
    wish = {"document": _document(options.file), "name": options.name, "why": options.why}
    return _changed(options, "put", owner=options.owner, **wish)


def run_revert(options: argparse.Namespace) -> int:
    """Take back what waits to be confirmed, or go back to an owner's document of an earlier revision."""
    return _changed(options, "revert", owner=options.owner, revision=options.revision)


def run_restore(options: argparse.Namespace) -> int:
    """Go back to a revision with the parts of all owners, until the next playbook run brings the inventory's back."""
    return _changed(options, "restore", revision=options.revision)


def run_confirm(options: argparse.Namespace) -> int:
    """Keep what waits to be confirmed; from another connection than the one that it was made from."""
    found = call(options.socket, "confirm", policy=_policy(options), connection=_connection())
    return _say(options, found, [f"revision {found['revision']} is confirmed"])


def run_history(options: argparse.Namespace) -> int:
    """Show the last revisions of a policy, the newest first."""
    found = call(options.socket, "history", policy=_policy(options))
    rows = [
        [one["revision"], one["state"], one["time"], one["owner"], one["by"], one["name"], one["why"]]
        for one in found["revisions"]
    ]
    return _say(options, found, _table(["REVISION", "STATE", "TIME", "OWNER", "BY", "NAME", "WHY"], rows))


def run_diff(options: argparse.Namespace) -> int:
    """Show what differs between two revisions, or between one and what is in force."""
    found = call(options.socket, "diff", policy=_policy(options), revision=options.revision, to=options.to)
    return _say(options, found, found["summary"] or ["nothing differs"])


def run_ban(options: argparse.Namespace) -> int:
    """Drop what comes from an address for a while."""
    wish = {"address": options.address, "seconds": max(1, round(options.seconds)), "comment": options.why}
    found = call(options.socket, "ban", **wish, by=_by())
    return _say(options, found, [f"{found['address']} is banned until {found['until']}"])


def run_unban(options: argparse.Namespace) -> int:
    """End a ban."""
    found = call(options.socket, "unban", address=options.address, by=_by())
    return _say(options, found, [f"{found['address']} is no longer banned"])


def run_bans(options: argparse.Namespace) -> int:
    """Show the bans in force, by address."""
    bans: list[Mapping[str, Any]] = []
    while True:
        found = call(options.socket, "bans", after=bans[-1]["address"] if bans else None)
        bans += found["bans"]
        if not found["bans"] or len(bans) >= found["total"]:
            break
    columns = ("address", "until", "packets", "by", "comment")
    rows = [[one[name] for name in columns] for one in bans]
    return _say(options, {"bans": bans}, _table([name.upper() for name in columns], rows))


ACTIONS: Mapping[str, Command] = {
    "show": Command("show a policy", _add_show, run_show),
    "test": Command(
        "try a packet, and show every step to its verdict", policy_preview.add_arguments, policy_preview.run
    ),
    "put": Command("replace an owner's document", _add_put, run_put),
    "confirm": Command("keep what waits to be confirmed", _add_policy, run_confirm),
    "revert": Command("take back what waits, or go back to a revision", _add_revert, run_revert),
    "restore": Command("go back to a revision whole", _add_restore, run_restore),
    "history": Command("show the last revisions", _add_policy, run_history),
    "diff": Command("show what differs between revisions", _add_diff, run_diff),
    "ban": Command("drop what comes from an address for a while", _add_ban, run_ban),
    "unban": Command("end a ban", _add_unban, run_unban),
    "bans": Command("show the bans in force", _add_common, run_bans),
    "top": Command("show which parts match most", policy_top.add_arguments, policy_top.run),
    "watch": Command("show what is dropped, or would be", policy_watch.add_arguments, policy_watch.run),
    "export": Command("send flows of drops, write metrics", policy_export.add_arguments, policy_export.run),
    "serve": Command("change policies for those who may ask", policy_serve.add_arguments, policy_serve.run),
}


def _policy(options: argparse.Namespace) -> str:
    if options.policy:
        return str(options.policy)
    policies = call(options.socket, "status")["policies"]
    # What no interface names any more is not meant, unless there is nothing else.
    names = [one["name"] for one in policies if one["interfaces"]] or [one["name"] for one in policies]
    if len(names) != 1:
        raise Invalid(f"--policy: which one? there are {', '.join(names)}" if names else "this host has no policy")
    return str(names[0])


def _changed(options: argparse.Namespace, op: str, **wish: Any) -> int:
    given = {"confirm": options.confirm, "dry_run": options.dry_run}
    found = call(options.socket, op, policy=_policy(options), **given, **wish, by=_by(), connection=_connection())
    lines = [*found["summary"], *(f"warning: {one}" for one in found["warnings"])]
    lines += [f"{one['frame']}: {one['before']} -> {one['after']}" for one in found["flips"]]
    same = _in_force_already(wish.get("owner"), wish.get("revision"), found["revision"])
    if options.dry_run:
        lines.append("nothing was changed" if found["changed"] else f"nothing would change: {same}")
    elif not found["changed"]:
        lines.append(same)
    else:
        lines.append(f"revision {found['revision']} is in force")
    if found["pending"] and not options.dry_run:
        lines.append(
            f"confirm it from a new connection before {found['pending']['deadline']}, with 'tripod-host policy confirm'"
        )
    return _say(options, found, lines)


def _in_force_already(owner: str | None, revision: int | None, current: int) -> str:
    """Return what there is nothing to do about.

    Args:
        owner: Whose part is requested; None for all of the policy.
        revision: Which to go back to, where somebody said so.
        current: Which is in force.
    """
    if owner is None or revision in (None, current):
        return f"revision {current} is in force already"
    return (
        f"the part of owner {owner} in revision {revision} is what is in force, in revision {current}; 'tripod-host "
        f"policy restore {revision}' goes back with the parts of all owners, and --owner names another one"
    )


def _document(file: str) -> Any:
    try:
        if file == "-":
            return json.load(sys.stdin)
        with open(file, encoding="utf-8") as opened:
            return json.load(opened)
    except OSError as error:
        raise Invalid(f"{file}: {reason(error)}") from error
    except ValueError as error:
        raise Invalid(f"{file} is no JSON: {error}") from error


def _connection() -> dict[str, Any] | None:
    session = sessions.current(Host())
    return asdict(session.ssh) if session.ssh else None


def _by() -> str:
    return f"root{sessions.current(Host()).origin}"


def _policy_lines(found: Mapping[str, Any]) -> Iterable[str]:
    judged = ", ".join(found["interfaces"]) or "no interface"
    yield f"policy {found['name']}, revision {found['revision']}, judges {judged}"
    if found["pending"]:
        waits = found["pending"]
        yield f"revision {waits['revision']} by {waits['by']} is taken back at {waits['deadline']} unless confirmed"
    document = found["document"]
    rows = [["trusted", "", "inventory", "", _facts(one)] for one in document.get("trusted", ())]
    for kind, identity in (("lists", "name"), ("rules", "id"), ("limits", "name"), ("services", "name")):
        for part in document.get(kind, ()):
            rest = {key: value for key, value in part.items() if key not in (identity, "owner", "mode", "prefixes")}
            if "prefixes" in part:
                rest.setdefault("entries", len(part["prefixes"]))
            rows.append([kind[:-1], part[identity], part["owner"], part.get("mode", "enforce"), _facts(rest)])
    yield from _table(["PART", "NAME", "OWNER", "MODE", "WHAT"], rows)
    yield f"default: {document.get('default', 'pass')}"


def _facts(part: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={value if isinstance(value, (str, int)) else json.dumps(value)}" for key, value in part.items()
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def _say(options: argparse.Namespace, found: Mapping[str, Any], lines: Iterable[str]) -> int:
    if options.json:
        lines = [json.dumps(found, indent=2)]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0
