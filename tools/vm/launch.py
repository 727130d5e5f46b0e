"""The part that needs root: a network namespace, the taps in it, and QEMU with their descriptors as an ordinary user.

Reads one JSON document from standard input; see ``machine.Machine.launch`` for its keys.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import pwd
import struct
import subprocess
import sys
from typing import Any

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE, IFF_VNET_HDR = 0x0002, 0x1000, 0x0100, 0x4000


def enter(namespace: int) -> None:
    """Move this process into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the VM's network namespace")


def queue(name: str, several: bool) -> int:
    """Return a descriptor of one more queue of a tap, which is made if need be and outlives QEMU."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if several else 0)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    # The cable and whoever listens on it stay when the VM's power is cut.
    fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
    os.set_inheritable(descriptor, True)
    return descriptor


def taps(namespace: str, wanted: dict[str, Any]) -> dict[str, list[int]]:
    """Return the descriptors of each tap, all up and with their addresses."""
    path = f"/run/netns/{namespace}"
    if not os.path.exists(path):
        subprocess.run(["ip", "netns", "add", namespace], check=True)
    with open("/proc/self/ns/net", "rb") as home, open(path, "rb") as away:
        enter(away.fileno())
        found = {}
        for name, tap in wanted.items():
            found[name] = [queue(name, tap["queues"] > 1) for _queue in range(tap["queues"])]
            # No address of the kernel's own making, whose solicitations a test that counts packets would count.
            subprocess.run(["ip", "link", "set", "dev", name, "addrgenmode", "none"], check=True)
            subprocess.run(["ip", "link", "set", "dev", name, "up"], check=True)
            subprocess.run(["ip", "address", "replace", tap["outside"], "dev", name], check=True)
        enter(home.fileno())
    return found


def become(uid: int, gid: int) -> None:
    """Give up root for an ordinary user, for good."""
    try:
        os.initgroups(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:  # The checkout in a container may belong to somebody whom only the host knows.
        os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    """Replace this process by QEMU."""
    asked = json.load(sys.stdin)
    descriptors = taps(asked["namespace"], asked["taps"])
    numbers = {
        f"@{name}.{place}@": str(number) for name, owned in descriptors.items() for place, number in enumerate(owned)
    }
    command = asked["command"]
    for mark, number in numbers.items():
        command = [word.replace(mark, number) for word in command]
    if os.geteuid() != asked["uid"]:
        become(asked["uid"], asked["gid"])
    os.chdir(asked["directory"])
    os.execve(command[0], command, {**os.environ, **asked["environment"]})


if __name__ == "__main__":
    main()
