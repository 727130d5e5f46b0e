"""Kill a call before and after each of its mutating calls, and let a test see what the next run makes of it.

SIGKILL comes at a bad moment; here it comes at every one. The call runs in a child process that ends itself, without
any cleaning up, at the n-th moment; n grows until the call survives. What Python itself reports of changes (its audit
events) proves that none is made unwatched.
"""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import ethtool, hugetlbfs, irqs, libbpf, netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import bpffs

STRIDE = "TRIPOD_SWEEP_STRIDE"  # make test-killed leaves it at 1
KILLED, FAILED, UNWATCHED = 86, 87, 88
_LIMIT = 1000
_CREATING = os.O_CREAT | os.O_TRUNC
# What the core changes a host by: files, settings of the kernel, BPF, links, mounts, commands and other processes.
SYSTEM = (
    *("replace", "rename", "link", "unlink", "remove", "symlink", "mkdir", "rmdir", "mknod", "truncate", "ftruncate"),
    *("chmod", "chown", "lchown", "fchmod", "fchown", "utime", "fsync", "kill"),
)
BPF = (
    "bpf_obj_pin",
    "bpf_object__load",
    "bpf_link_create",
    "bpf_link_update",
    "bpf_link_detach",
    "bpf_map_update_elem",
    "bpf_map_update_batch",
    "bpf_map_delete_elem",
    "bpf_map_delete_batch",
)
LINKS = ("set_link", "set_xdp")
CARDS = (
    *("set_private_flags", "set_channels", "set_rings", "set_coalesce", "set_features", "set_pause", "set_rss"),
    *("set_hash_fields", "insert_flow_rule", "delete_flow_rule"),
)
MOUNTS = ("mount_it", "own", "unmount")  # of which a double may stand in place
# What tells of a change, as Python sees it; symbols are those that the core calls in libc.
_EVENTS = {
    *("os.rename", "os.link", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown"),
    *("os.utime", "os.kill", "os.posix_spawn", "os.system", "subprocess.Popen"),
}
_SYMBOLS = {"mount", "umount", "umount2"}


class Moment(int):
    """The number of a moment; it is written as what was about to be called, or had been."""

    def __new__(cls, number: int, where: str) -> Moment:
        made = super().__new__(cls, number)
        made.where = where
        return made

    where: str

    def __str__(self) -> str:
        return f"moment {int(self)}, {self.where}"


class _Killer:
    """Ends the process at a moment; there are two for each mutating call.

    Args:
        moment: Its number.
        report: Descriptor that is told where that was.
    """

    def __init__(self, moment: int, report: int) -> None:
        self._left = moment
        self._report = report
        self._inside = 0  # how many watched calls, one within the other
        self._whole = 0  # of those, how many in which nothing is looked at

    def end(self, status: int, words: str) -> NoReturn:
        os.write(self._report, words.encode(errors="replace"))
        os._exit(status)

    def _pass(self, when: str, name: str, arguments: tuple[Any, ...]) -> None:
        if self._left == 0:
            shown = ", ".join(repr(one) for one in arguments if isinstance(one, (str, bytes, int, os.PathLike)))
            self.end(KILLED, f"{when} {name}({shown})")
        self._left -= 1

    def around(
        self, function: Callable[..., Any], name: str, counts: Callable[..., bool] | None, whole: bool
    ) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self._whole or (counts and not counts(*arguments, **named)):
                return function(*arguments, **named)
            self._pass("before", name, arguments)
            self._inside += 1
            self._whole += whole
            try:
                result = function(*arguments, **named)
            finally:
                self._inside -= 1
                self._whole -= whole
            self._pass("after", name, arguments)
            return result

        return call

    def watch(
        self, owner: Any, names: tuple[str, ...], counts: Callable[..., bool] | None = None, whole: bool = False
    ) -> None:
        for name in names:
            setattr(owner, name, self.around(getattr(owner, name), name, counts, whole))

    def watch_all(self) -> None:
        """Watch whatever changes a host, and end with a failure where something is changed that is not watched."""
        self.watch(os, SYSTEM)
        self.watch(os, ("open",), lambda _path, flags, *_rest, **_named: bool(flags & _CREATING))
        for owner in (builtins, io):
            self.watch(owner, ("open",), _writes)
        self.watch(subprocess, ("run", "Popen"))
        # A file in place of a kernel's setting would be cut to nothing between opening and writing, and a double of a
        # kernel is in the middle of what the kernel does at once.
        for kind in (Host, *_kinds(Host)):
            if "write_attribute" in vars(kind):
                self.watch(kind, ("write_attribute",), whole=True)
        # What tempfile removes at the end goes by a name that it took before.
        self.watch(Host, ("prove_writable",))
        self.watch(bpffs, ("_mount",))
        self.watch(hugetlbfs, ("_call", *MOUNTS))
        self.watch(ethtool, CARDS)
        self.watch(irqs, ("move",))
        if not libbpf.missing_library():
            self.watch(libbpf.library(), BPF)
        self.watch(netlink, LINKS)
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._inside:
            return
        if event == "open":
            path, mode, flags = arguments
            opened = not isinstance(path, int) and path != os.devnull
            unwatched = opened and (bool(flags & _CREATING) if mode is None else _writes(path, mode))
        elif event.startswith("ctypes.dlsym"):
            unwatched = arguments[-1] in _SYMBOLS
        else:
            unwatched = event in _EVENTS
        if unwatched:
            self.end(UNWATCHED, f"{event}{arguments!r} by {''.join(traceback.format_stack(limit=6))}")


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def _writes(file: Any, mode: str = "r", *_rest: Any, **_named: Any) -> bool:
    return not isinstance(file, int) and bool(set(mode) & set("wax+"))


def sweep(call: Callable[[], Any], least: int = 1, most_apart: int = _LIMIT) -> Iterator[Moment]:
    """Kill the call at every moment, one after the other; the caller restores what it needs in between.

    Args:
        call: Changes the host, by the functions of the system that are listed above.
        least: How many moments there must be: a sweep that misses some proves little.
        most_apart: Of how many moments at least one is tried, however few CI has time for.

    Yields:
        The moment, after the child has been killed there. It ends once the call survives, which must succeed.
    """
    for number in _numbers(least, most_apart):
        status, words = _run(call, number)
        if status == 0:
            assert number > 0, "the call changes nothing"
            assert number >= least, f"only {number} moments, {least} are expected: what is no longer watched?"
            return
        assert status != UNWATCHED, f"the sweep does not watch {words}"
        assert status == KILLED, f"moment {number}: the call failed by itself: {words}"
        yield Moment(number, words)
    raise AssertionError(f"more than {_LIMIT} moments")


def _numbers(least: int, most_apart: int) -> Iterator[int]:
    """Yield the moments to try: all, or one of so many where CI has no time for more, begun at another in each test.

    The first is among those that there must be, so that no call is tried at none.
    """
    stride = min(int(os.environ.get(STRIDE, "1")), most_apart)
    begin = zlib.crc32(os.environ.get("PYTEST_CURRENT_TEST", "").encode()) % min(stride, least)
    yield from range(begin, _LIMIT, stride)


def _run(call: Callable[[], Any], number: int) -> tuple[int, str]:
    """Run the call in a child that ends at a moment; return its status, and what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        killer = _Killer(number, writing)
        try:
            killer.watch_all()
            call()
            os._exit(0)
        except BaseException:
            killer.end(FAILED, traceback.format_exc())
        finally:
            os._exit(FAILED)
    os.close(writing)
    # What the child started may hold the other end for longer than it lives.
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.set_blocking(reading, False)
    try:
        words = os.read(reading, 1 << 16).decode()
    except BlockingIOError:
        words = ""
    finally:
        os.close(reading)
    return status, words


def hold(call: Callable[[], Any], look: Callable[[], None], again: Callable[[], Any], least: int) -> None:
    """Kill the call at every moment, and look each time at what the next run makes of it; name all that is bad.

    Args:
        call: Changes the host.
        look: Runs whatever comes next, and asserts.
        again: Brings the host to what it was before the call.
        least: Moments that there must be, so that nothing is missed unseen.
    """
    bad, moments = {}, 0
    for moment in sweep(call, least):
        moments += 1
        try:
            look()
        except Exception as error:
            bad[str(moment)] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        again()
    assert not bad, f"{len(bad)} of {moments} moments are bad: {bad}"
