"""Kill a call before and after each of its mutating calls, and let a test see what the next run makes of it.

SIGKILL comes at a bad moment; here it comes at every one. The call runs in a child process that ends itself, without
any cleaning up, at the n-th moment; n grows until the call survives.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import ethtool, hugetlbfs, irqs, libbpf, netlink

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
# A file that is being written has its temporary name at that moment.
FLUSHES = ("fsync",)
MOUNTS = ("mount_it", "own", "unmount")
CARDS = (
    "set_private_flags",
    "set_channels",
    "set_rings",
    "set_coalesce",
    "set_features",
    "set_pause",
    "set_rss",
    "set_hash_fields",
    "insert_flow_rule",
    "delete_flow_rule",
)


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
                killer.watch(os, FLUSHES)
                killer.watch(hugetlbfs, MOUNTS)
                killer.watch(ethtool, CARDS)
                killer.watch(irqs, ("move",))
                killer.watch(subprocess, ("run",))
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


def hold(call: Callable[[], Any], look: Callable[[], None], again: Callable[[], Any], least: int) -> None:
    """Kill the call at every moment, and look each time at what the next run makes of it; name all that is bad.

    Args:
        call: Changes the host.
        look: Runs whatever comes next, and asserts.
        again: Brings the host to what it was before the call.
        least: Moments that there must be, so that nothing is missed unseen.
    """
    bad, moments = {}, 0
    for moment in sweep(call):
        moments += 1
        try:
            look()
        except Exception as error:
            bad[moment] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        again()
    assert not bad, f"{len(bad)} of {moments} moments are bad: {bad}"
    assert moments >= least, f"only {moments} moments"
