"""The program behind ``ansible_server``: has Ansible loaded, and a child for each command that comes over its socket.

Usage: ansible_child.py DESCRIPTOR, that of a listening socket. It ends with its standard input.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.support.namespaces import go_to

INHERITED = ("net", "mnt")


@dataclass(frozen=True)
class Within:
    """Namespaces of a process.

    Attributes:
        target: Its number; 0 for those that the thread has which asks.
        kinds: Names of files in its ``ns``.
        folder: The working directory there.
    """

    target: int = 0
    kinds: Sequence[str] = ()
    folder: str = ""


@dataclass(frozen=True)
class Request:
    """A command.

    Attributes:
        words: Its arguments.
        environment: Its environment.
        within: Where it runs.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    within: Within

    def dump(self) -> bytes:
        """Return it as bytes."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, content: bytes) -> Request:
        """Return one from its bytes."""
        found = json.loads(content)
        return cls(found["words"], found["environment"], Within(**found["within"]))


def enter(within: Within, asking: Sequence[int]) -> None:
    """Go where a command is to run.

    Args:
        within: As nsenter would.
        asking: Descriptors of the namespaces ``INHERITED`` of the thread that asks, in which its child would be.
    """
    folder = os.getcwd()
    for kind, descriptor in zip(INHERITED, asking, strict=True):
        if os.fstat(descriptor).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
            go_to(descriptor)
        os.close(descriptor)
    os.chdir(folder)
    if not within.target:
        return
    # All are opened before the first is entered: /proc is another one then.
    descriptors = [os.open(f"/proc/{within.target}/ns/{kind}", os.O_RDONLY) for kind in within.kinds]
    for descriptor in descriptors:
        go_to(descriptor)
        os.close(descriptor)
    os.chdir(within.folder)
    if "pid" in within.kinds:  # of which only children are
        child = os.fork()
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def serve(connection: socket.socket, run: Any) -> None:
    """Carry out what one connection asks for, and end."""
    os.setsid()
    _said, descriptors, _flags, _address = socket.recv_fds(connection, 16, 3 + len(INHERITED))
    asked, out, err, *asking = descriptors
    connection.send(str(os.getpid()).encode())
    with os.fdopen(asked, "rb") as file:
        request = Request.load(file.read())
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((null, out, err)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.send(str(status).encode())
        os._exit(0)
    connection.close()
    status = 1
    try:
        os.environ.clear()
        os.environ.update(request.environment)
        enter(request.within, asking)
        run(["ansible", *request.words])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by exit(), which would remove the directory that all children share, with the modules that they packed.
        os._exit(status)


def main() -> None:
    """Load Ansible, and have children until standard input ends."""
    # Here, as nobody who only asks has to load it; what a command would load when it has begun as well.
    cli = importlib.import_module("ansible.cli.adhoc").AdHocCLI
    for name in ("executor.module_common", "executor.task_executor", "plugins.strategy.linear"):
        importlib.import_module(f"ansible.{name}")

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(fileno=int(sys.argv[1]))
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is sys.stdin:
                    return
                connection, _address = listener.accept()
                with connection:
                    if os.fork() == 0:
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        selector.close()
                        listener.close()
                        serve(connection, cli.cli_executor)


if __name__ == "__main__":
    main()
