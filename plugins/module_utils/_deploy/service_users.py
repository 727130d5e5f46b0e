# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Users of services: numbers outside the range for people, reserved on the host by a name in its own files.

A container's user is only a number to the host. Without an entry the host, or a directory service, may give that number
to a person, who then owns the secrets of the service.
"""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._core import commands
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Invalid, Refused
from .._core.system import Host
from .._linux.detached import search_path

LOGIN_DEFS = "/etc/login.defs"
PEOPLE = (1000, 60000)  # where login.defs says nothing: shadow's own defaults
# systemd gives these to units with DynamicUser=, to portable homes and to containers, without an entry anywhere.
_TAKEN = ((60001, 65535, "for dynamic users, homes and nobody"), (65536, 4294967295, "for users of user namespaces"))
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}", re.ASCII)
_SETTING = re.compile(r"^\s*([UG]ID_(?:MIN|MAX))\s+(\d+)", re.MULTILINE)

# The options of a user, for every module that takes some.
USER: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "uid": {"type": "int", "required": True},
    "comment": {"type": "str", "default": ""},
    "variable": {"type": "str", "default": ""},
}


@dataclass(frozen=True)
class User:
    """A user, and the group of the same name and number.

    Attributes:
        name: Its name on the host.
        uid: Its number.
        comment: What it is for.
        variable: The Ansible variable that sets the number, for messages.
    """

    name: str
    uid: int
    comment: str = ""
    variable: str = ""


@dataclass(frozen=True)
class UserState:
    """Names and numbers as the host's name service has them, directory services included.

    Attributes:
        uids, gids: By name; None where there is none.
        users, groups: By number; None where nobody has it.
        people: First and last number for people.
    """

    uids: Mapping[str, int | None] = field(default_factory=dict)
    gids: Mapping[str, int | None] = field(default_factory=dict)
    users: Mapping[int, str | None] = field(default_factory=dict)
    groups: Mapping[int, str | None] = field(default_factory=dict)
    people: tuple[int, int] = PEOPLE


def parse(options: Sequence[Mapping[str, Any]]) -> list[User]:
    """Return the users in a module's options.

    Raises:
        Invalid: A name or a number is malformed, or there twice; with all reasons.
    """
    users = [
        User(str(one["name"]), int(one["uid"]), one.get("comment") or "", one.get("variable") or "") for one in options
    ]
    findings = Findings()
    for user in users:
        if not _NAME.fullmatch(user.name):
            findings.add(f"{user.name!r} is no name of a user: give up to 31 of a-z, 0-9, _ and -")
        if not 1 <= user.uid < 1 << 32:
            findings.add(f"{user.name}: uid {user.uid} is root's, or none")
        if ":" in user.comment or not user.comment.isprintable():
            findings.add(f"{user.name}: a comment has no ':' and no control character")
    for what, values in (("name", [one.name for one in users]), ("uid", [str(one.uid) for one in users])):
        for value in dict.fromkeys(value for value in values if values.count(value) > 1):
            findings.add(f"{what} {value} is given {values.count(value)} times; give each once")
    findings.raise_if_any(Invalid, "users: nothing was changed")
    return users


def limits(users: Sequence[User], state: UserState) -> Iterator[str]:
    """Yield what stands against these users: numbers of people, and names or numbers that others have."""
    first, last = state.people
    for user in users:
        way_out = (
            f"set {user.variable or 'its uid'} to a number below {first} that 'getent passwd' and 'getent group' miss"
        )
        if first <= user.uid <= last:
            yield f"{user.name}: uid {user.uid} is in this host's range for people, {first} to {last}: {way_out}"
        for low, high, what in _TAKEN:
            if low <= user.uid <= high and not first <= user.uid <= last:
                yield f"{user.name}: uid {user.uid} is in the range {low} to {high}, {what}: {way_out}"
        for kind, names, numbers in (("user", state.users, state.uids), ("group", state.groups, state.gids)):
            holder, held = names.get(user.uid), numbers.get(user.name)
            if holder not in (None, user.name):
                yield f"{user.name}: {kind} {holder} has number {user.uid} on this host: {way_out}"
            if held not in (None, user.uid):
                yield (
                    f"there is a {kind} {user.name} with number {held}, and {user.uid} is requested: set "
                    f"{user.variable or 'its uid'} to {held}, or remove that {kind} once nothing runs as it"
                )


def read_users(host: Host, users: Sequence[User]) -> UserState:
    """Ask the name service for every name and number."""
    return UserState(
        uids={one.name: _found(lambda name: pwd.getpwnam(name).pw_uid, one.name) for one in users},
        gids={one.name: _found(lambda name: grp.getgrnam(name).gr_gid, one.name) for one in users},
        users={one.uid: _found(lambda uid: pwd.getpwuid(uid).pw_name, one.uid) for one in users},
        groups={one.uid: _found(lambda gid: grp.getgrgid(gid).gr_name, one.uid) for one in users},
        people=_people(host),
    )


def _people(host: Host) -> tuple[int, int]:
    found = {name: int(number) for name, number in _SETTING.findall(host.read(LOGIN_DEFS) or "")}
    first = min(found.get("UID_MIN", PEOPLE[0]), found.get("GID_MIN", PEOPLE[0]))
    return first, max(found.get("UID_MAX", PEOPLE[1]), found.get("GID_MAX", PEOPLE[1]))


def _found(look_up: Any, key: Any) -> Any:
    try:
        return look_up(key)
    except KeyError:
        return None


class ServiceUsers:
    """The resource: users and their groups, all of them validated before the first is made.

    Args:
        users: What is requested.
    """

    def __init__(self, users: Sequence[User]) -> None:
        self.users = users

    def read(self, host: Host) -> UserState:
        """Return who has which number."""
        return read_users(host, self.users)

    def validate(self, desired: bool, state: UserState) -> None:
        """Raise with every reason why not."""
        findings = Findings()
        for reason in limits(self.users, state) if desired else ():
            findings.add(reason)
        findings.raise_if_any(Refused, "users: nothing was changed")

    def plan(self, desired: bool, state: UserState) -> list[Change]:
        """Return groups and users to make, or users and groups to remove."""
        found = []
        for user in self.users:
            steps = [("group", state.gids[user.name]), ("user", state.uids[user.name])]
            for kind, held in steps if desired else reversed(steps):
                # With another number it is somebody else's, or validate() has refused it.
                if desired and held is None:
                    found.append(Change((kind, user.name), None, user.uid))
                elif not desired and held == user.uid:
                    found.append(Change((kind, user.name), held, None))
        return found

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Let shadow's own programs do it, which lock the files and keep the shadows in step."""
        users = {one.name: one for one in self.users}
        for change in changes:
            kind, name = change.path
            if kind == "user" and change.after is None and _found(pwd.getpwnam, name) is None:
                continue
            # userdel removes the group of the same name along.
            if kind == "group" and change.after is None and _found(grp.getgrnam, name) is None:
                continue
            _run(_command(kind, users[name], change.after is not None))


def _command(kind: str, user: User, made: bool) -> list[str]:
    number = str(user.uid)
    if not made:
        return [f"{kind}del", user.name]
    if kind == "group":
        return ["groupadd", "--system", "--gid", number, user.name]
    places = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    return ["useradd", "--system", "--uid", number, "--gid", number, *places, "--comment", user.comment, user.name]


def _run(command: Sequence[str]) -> None:
    environment = {"PATH": search_path(), "LC_ALL": "C"}
    try:
        done = commands.run(command, environment)
    except FileNotFoundError as error:
        raise Impossible(f"there is no {command[0]} command: install the package passwd") from error
    if done.returncode:
        raise ApplyFailed(f"{' '.join(command)}: {' '.join(done.stderr.split()) or f'status {done.returncode}'}")
