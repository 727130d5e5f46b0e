# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A loaded program run on given frames, by the kernel and on no interface (BPF_PROG_TEST_RUN)."""

from __future__ import annotations

import ctypes

from .libbpf import check, library


class RunOptions(ctypes.Structure):
    """``struct bpf_test_run_opts`` of libbpf."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


def run(program: int, frame: bytes) -> int:
    """Run an XDP program on a frame and return its verdict, one of ``enum xdp_action``.

    Raises:
        OSError: EINVAL where the frame is shorter than an Ethernet header, or longer than the kernel takes.
    """
    options = RunOptions(sz=ctypes.sizeof(RunOptions), data_in=frame, data_size_in=len(frame), repeat=1)
    check(library().bpf_prog_test_run_opts(program, ctypes.byref(options)))
    return int(options.retval)
