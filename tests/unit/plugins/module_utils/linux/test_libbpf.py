"""What is said where libbpf cannot be used."""

from __future__ import annotations

import ctypes

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, libbpf


def test_a_missing_library_names_the_package(monkeypatch):
    def missing(*_arguments, **_options):
        raise OSError("libbpf.so.1: cannot open shared object file: No such file or directory")

    libbpf._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    try:
        with pytest.raises(Impossible, match=r"libbpf\.so\.1 is not usable .*: install the package libbpf1 \(Debian\)"):
            bpf.pinned("/nope")
    finally:
        libbpf._library.cache_clear()
