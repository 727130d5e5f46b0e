"""A module of the collection in a process of its own, without Ansible: in a place that was made for it, and quick."""

from __future__ import annotations

import ctypes
import functools
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from typing import Any

from ansible.module_utils import basic

from tests.support.namespaces import go_to

MODULES = "ansible_collections.tripod.baremetal.plugins.modules"
NEW_MOUNTS, NEW_NETWORK = 0x00020000, 0x40000000
_SIDE = "ansible.module_utils._internal"
_REMOUNT, _READ_ONLY, _RECURSIVE, _PRIVATE = 32, 1, 16384, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def unshare() -> None:
    """Go to mounts and a network of one's own."""
    _check(_libc.unshare(NEW_MOUNTS | NEW_NETWORK))
    _check(_libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount something for this process."""
    _check(_libc.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None))


def cover(target: str, scratch: str, size: str) -> None:
    """Let what is written below a directory go to a small file system of its own."""
    os.makedirs(scratch, exist_ok=True)
    mount("tmpfs", scratch, "tmpfs", 0, f"size={size}")
    for name in ("upper", "work"):
        os.mkdir(f"{scratch}/{name}")
    mount("overlay", target, "overlay", 0, f"lowerdir={target},upperdir={scratch}/upper,workdir={scratch}/work")


def fill(directory: str) -> None:
    """Leave a file system no room."""
    with open(f"{directory}/filler", "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def make_read_only(target: str) -> None:
    """Remount what :func:`cover` mounted."""
    mount("none", target, "", _REMOUNT | _READ_ONLY)


def answer(name: str, options: Mapping[str, Any], prepare: Callable[[], None], check: bool = False) -> dict[str, Any]:
    """Run a module in a child process and return what it answers; ``traceback`` is what it died of, if it did.

    Args:
        name: Of the module.
        options: Its options.
        prepare: Called in the child first.
        check: Whether to run in check mode.
    """
    module(name)  # once, and not in each child
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            prepare()
            text = _say(name, options, check)
        except BaseException:
            text = json.dumps({"failed": True, "traceback": traceback.format_exc()})
        with open(writing, "w") as file:
            file.write(text)
        sys.stdout.flush()
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(text)
    return found


def run(name: str, options: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
    """Run a module in this very process, which should be one that was forked for it, and return what it answers."""
    found: dict[str, Any] = json.loads(_say(name, options, check))
    assert not found.get("failed"), found
    return found


def _say(name: str, options: Mapping[str, Any], check: bool) -> str:
    return _said({**options, "_ansible_check_mode": check}, module(name).main)


def _said(arguments: Mapping[str, Any], main: Callable[[], None]) -> str:
    said = io.StringIO()
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    # Where tests of filters imported the rest of Ansible before, it took this process for a control node, which
    # displays warnings and answers none. Releases before 2.19 have no such difference.
    if _SIDE in sys.modules:
        vars(sys.modules[_SIDE])["is_controller"] = False
    with redirect_stdout(said), suppress(SystemExit):
        main()
    return said.getvalue()


def module(name: str) -> Any:
    """Import a module; a process that forks many does it before."""
    _import_the_rest()
    return importlib.import_module(f"{MODULES}.{name}")


@functools.cache
def _import_the_rest() -> None:
    """Import what Ansible imports only when a module begins or ends; a child can be a user who may not read it."""
    _said({}, lambda: basic.AnsibleModule(argument_spec={}).exit_json())


def enter(pid: int) -> None:
    """Go to the mounts and the network of another process."""
    for kind in ("net", "mnt"):
        with open(f"/proc/{pid}/ns/{kind}") as namespace:
            go_to(namespace.fileno())


def carry_out(body: Callable[[], None]) -> None:
    """Run a part of a test in a child process, which may go to places of its own; what it fails by is raised here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            os.close(reading)
            body()
        except BaseException:
            said = traceback.format_exc()
        with open(writing, "w") as file:
            file.write(said)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        said = file.read()
    os.waitpid(child, 0)
    assert not said, said
