"""Refusals of the system in words."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.errors import in_words
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.netlink_socket import NetlinkError


def failure(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path)


@pytest.mark.parametrize(
    ("error", "user", "words"),
    [
        (failure(errno.ENOSPC, "/boot/x"), 0, "/boot/x: No space left on device: its file system is full: free some"),
        (failure(errno.EDQUOT, "/srv/x"), 0, "its file system is full: free some space ('df /srv' shows it)"),
        (failure(errno.EROFS, "/boot/x"), 0, "mounted read-only: mount it writable ('mount -o remount,rw')"),
        (
            failure(errno.EROFS, "/sys/x"),
            0,
            "/sys/x: Read-only file system: it is mounted read-only here",
        ),
        (failure(errno.EACCES, "/etc/x"), 1000, "/etc/x: Permission denied: run as root (become: true)"),
        (failure(errno.EPERM, "/etc/x"), 0, "/etc/x: Operation not permitted: root is refused too"),
        (failure(errno.EBUSY, "/etc/x"), 0, "/etc/x: Device or resource busy"),
        (NetlinkError(errno.EPERM, "the kernel's words"), 1000, "the kernel's words (EPERM): run as root"),
    ],
)
def test_what_was_refused_where_and_the_way_out(monkeypatch, error, user, words):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert words in in_words(error)


def test_root_is_not_sent_to_become_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        assert "run as root" not in in_words(failure(number, "/sys/x"))


@pytest.mark.parametrize("error", [failure(errno.ENOSPC), failure(errno.ENOSPC, "/proc/irq/30/smp_affinity_list")])
def test_what_is_no_disk_is_not_called_full(error):
    assert "full" not in in_words(error)
