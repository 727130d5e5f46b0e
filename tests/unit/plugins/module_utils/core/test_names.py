"""Names and paths that are taken, and those that would reach further than meant."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._core.names import (
    absolute_path,
    interface_name,
    refuse_symlinks,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host


@pytest.mark.parametrize(
    "name", ["e", "ens1f0np0", "eth0.100", "br-1_2", "a.b.c", "äöü", "-x", "x@y", "100%", "'q'", "a" * 15, "é" * 7]
)
def test_names_that_an_interface_can_have(name):
    assert interface_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        (None, "is empty"),
        ("x/maps", "has '/' in it"),
        ("/", "has '/' in it"),
        (".", "is a directory"),
        ("..", "is a directory"),
        ("a" * 16, "has 16 bytes"),
        ("é" * 8, "has 16 bytes"),
        ("a b", "has ' ' in it"),
        ("a\n", r"has '\\n' in it"),
        ("a\0b", r"has '\\x00' in it"),
        ("a:1", "has ':' in it"),
        ("ens1~", "has '~' in it"),
        ("ens1~0a1b", "has '~' in it"),
        ("a\N{NO-BREAK SPACE}", r"has '\\xa0' in it"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_names_that_none_can_have(name, reason):
    with pytest.raises(Invalid, match=f"^nic: .* {reason}, which no name of an interface does"):
        interface_name(name, "nic")


@pytest.mark.parametrize("path", ["/", "/sys/fs/bpf/tripod", "/a.b/c-d_e+f@g:h=i,j~", "/.hidden", "/x/ü"])
def test_paths_that_are_taken(path):
    assert absolute_path(path) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("sys", "is not absolute"),
        ("~/x", "is not absolute"),
        ("/sys/fs/bpf/", "is another way to write /sys/fs/bpf"),
        ("//sys", "is another way to write /sys"),
        ("/sys//fs", "is another way to write /sys/fs"),
        ("/sys/./fs", "is another way to write /sys/fs"),
        ("/sys/fs/bpf/../bpf", "is another way to write /sys/fs/bpf"),
        ("/sys/fs/bpf/..", "is another way to write /sys/fs"),
        ("/..", "is another way to write /"),
        ("/a b", "has ' ' in it"),
        ("/a\n", r"has '\\n' in it"),
        ("/a\\040b", r"has '\\\\' in it"),
        ("/a%b", "has '%' in it"),
        ("/a*", r"has '\*' in it"),
        ("/a\0", r"has '\\x00' in it"),
    ],
)
def test_paths_that_are_not(path, reason):
    with pytest.raises(Invalid, match=f"^pin_root: .* {reason}: give an absolute path"):
        absolute_path(path, "pin_root")


def test_a_path_that_leads_through_a_link_is_named_with_what_it_is(tmp_path):
    (tmp_path / "real" / "pins").mkdir(parents=True)
    os.symlink("real", tmp_path / "link")
    host = Host(tmp_path)
    refuse_symlinks(host, "/real/pins")
    refuse_symlinks(host, "/real/absent/x")
    for path in ("/link/pins", "/link/absent", "/link"):
        with pytest.raises(Invalid, match=rf"mount: {path} leads through /link, which is a symbolic link"):
            refuse_symlinks(host, path, "mount")
