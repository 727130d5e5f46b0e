"""Kill a call before and after each of its mutating calls, and let a test see what the next run makes of it.

SIGKILL comes at a bad moment; here it comes at every one. The call runs in a child process that ends itself, without
any cleaning up, at the n-th moment; n grows until the call survives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import libbpf, netlink

KILLED, FAILED = 86, 87
_LIMIT = 500
# What the core changes a host by: files, settings of the kernel, BPF, links.
SYSTEM = ("replace", "rename", "link", "unlink", "remove", "symlink", "mkdir", "rmdir", "chmod", "chown", "fchmod")
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


class _Killer:
    """Ends the process at a moment; there are two for each mutating call."""

    def __init__(self, moment: int) -> None:
        self._left = moment

    def _pass(self) -> None:
        if self._left == 0:
            os._exit(KILLED)
        self._left -= 1

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self._pass()
            result = function(*arguments, **named)
            self._pass()
            return result

        return call

    def watch(self, owner: Any, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(owner, name, self.around(getattr(owner, name)))


def sweep(call: Callable[[], Any]) -> Iterator[int]:
    """Kill the call at every moment, one after the other; the caller restores what it needs in between.

    Args:
        call: Changes the host, by the functions of the system that are listed above.

    Yields:
        The moment, after the child has been killed there. It ends once the call survives, which must succeed.
    """
    for moment in range(_LIMIT):
        child = os.fork()
        if child == 0:
            status = FAILED
            try:
                killer = _Killer(moment)
                killer.watch(os, SYSTEM)
                # A file in place of a kernel's setting would be cut to nothing between opening and writing.
                killer.watch(Host, ("write_attribute",))
                if not libbpf.missing_library():
                    killer.watch(libbpf.library(), BPF)
                killer.watch(netlink, LINKS)
                call()
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            assert moment > 0, "the call changes nothing"
            return
        assert status == KILLED, f"moment {moment}: the call failed by itself"
        yield moment
    raise AssertionError(f"more than {_LIMIT} moments")
