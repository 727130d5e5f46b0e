"""Ansible with its code loaded once: each command gets a child of one process, which begins where that had got to.

A command takes a third of a second of a CPU to load Ansible, and half of one to pack a module with all that it imports;
the integration tests run hundreds. It is Ansible's own command all the same, with its own worker, and the module is
what it always is: a program of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support import ansible_child

ROOT = Path(__file__).resolve().parents[2]
_NSENTER = {"--mount": "mnt", "--net": "net", "--pid": "pid", "--uts": "uts", "--ipc": "ipc"}


@dataclass(frozen=True)
class Done:
    """How a command ended.

    Attributes:
        status: Its exit status.
        stdout: What it printed.
        stderr: What it complained of.
    """

    status: int
    stdout: str
    stderr: str


class Server:
    """The process that has Ansible loaded, with some settings of Ansible's; it ends with this one.

    Args:
        settings: Variables of the environment by which Ansible is configured when it is loaded.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tripod-ansible-")
        self._address = f"{self._folder.name}/socket"
        # By the command's name, as modules look whether a controller is among the processes above them.
        program = Path(self._folder.name, "ansible")
        program.symlink_to(ansible_child.__file__)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen()
            self._process = subprocess.Popen(
                [sys.executable, str(program), str(listener.fileno())],
                cwd=ROOT,
                # Nothing of its folder, where names of Python's own are found, but the tests as they are here.
                env={**os.environ, **settings, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], within: ansible_child.Within, seconds: float
    ) -> Done:
        """Run the command ``ansible``.

        Args:
            words: Its arguments.
            environment: Its environment.
            within: The namespaces in which it runs.
            seconds: How long it may take.
        """
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            connection.connect(self._address)
            request = ansible_child.Request(list(words), dict(environment), within)
            with ExitStack() as held:
                asked = held.enter_context(tempfile.TemporaryFile())
                asked.write(request.dump())
                asked.seek(0)
                own = [held.enter_context(open(f"/proc/thread-self/ns/{kind}")) for kind in ansible_child.INHERITED]
                socket.send_fds(connection, [b"run"], [one.fileno() for one in (asked, out, err, *own)])
            pid = int(connection.recv(64))
            connection.settimeout(seconds)
            try:
                status = connection.recv(64)
            except TimeoutError:
                os.killpg(pid, signal.SIGKILL)
                raise AssertionError(f"ansible {' '.join(words)} takes more than {seconds} s") from None
            assert status, f"ansible {' '.join(words)} was ended from outside"
            return Done(int(status), _text(out), _text(err))


def _text(file: tempfile._TemporaryFileWrapper[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def within(prefix: Sequence[str]) -> ansible_child.Within | None:
    """Return the namespaces that a command line of nsenter's leads into; None where it is not of that form."""
    if not prefix:
        return ansible_child.Within()
    if list(prefix[:2]) != ["nsenter", "--target"]:
        return None
    *kinds, folder = prefix[3:]
    if not folder.startswith("--wd=") or not set(kinds) <= _NSENTER.keys():
        return None
    return ansible_child.Within(int(prefix[2]), [_NSENTER[kind] for kind in kinds], folder.removeprefix("--wd="))


_servers: dict[tuple[tuple[str, str], ...], Server] = {}


def server(environment: Mapping[str, str]) -> Server:
    """Return the one for an environment, as Ansible reads its settings when it is loaded."""
    settings = {name: value for name, value in environment.items() if name.startswith("ANSIBLE_") or name == "HOME"}
    key = tuple(sorted(settings.items()))
    if key not in _servers:
        _servers[key] = Server(settings)
    return _servers[key]
