"""Counting XDP errors: what the kernel offers, the program made for it, and what its counts mean."""

from __future__ import annotations

import errno
import importlib
import os
import platform
import time
from types import SimpleNamespace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, libbpf
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.trace import (
    Count,
    describe,
    obstacles,
    read_fields,
    source,
    watch,
)

EVENTS = "/sys/kernel/tracing/events/xdp"
HEADER = """\
ID: 700
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
# As a 6.12 kernel prints them.
EXCEPTION = f"""\
name: xdp_exception
{HEADER}\tfield:int prog_id;\toffset:8;\tsize:4;\tsigned:1;
\tfield:u32 act;\toffset:12;\tsize:4;\tsigned:0;
\tfield:int ifindex;\toffset:16;\tsize:4;\tsigned:1;

print fmt: "prog_id=%d action=%s ifindex=%d", REC->prog_id
"""
DEVMAP = f"""\
name: xdp_devmap_xmit
{HEADER}\tfield:int from_ifindex;\toffset:8;\tsize:4;\tsigned:1;
\tfield:u32 act;\toffset:12;\tsize:4;\tsigned:0;
\tfield:int to_ifindex;\toffset:16;\tsize:4;\tsigned:1;
\tfield:int drops;\toffset:20;\tsize:4;\tsigned:1;
\tfield:int sent;\toffset:24;\tsize:4;\tsigned:1;
\tfield:int err;\toffset:28;\tsize:4;\tsigned:1;

print fmt: "ndo_xdp_xmit from_ifindex=%d"
"""
TRACEFS = {f"{EVENTS}/xdp_exception/format": EXCEPTION, f"{EVENTS}/xdp_devmap_xmit/format": DEVMAP}


@pytest.fixture
def release(monkeypatch):
    """A host whose kernel is a distribution's, lets programs load, and whose Python has bcc."""
    monkeypatch.setattr(platform, "release", lambda: "6.12.9-amd64")
    monkeypatch.setattr(libbpf, "missing_library", lambda: None)
    monkeypatch.setattr(bpf, "refusal", lambda _type: None)
    monkeypatch.setattr(importlib, "import_module", lambda _name: None)
    return "6.12.9-amd64"


def test_only_fields_that_the_kernel_has_are_read(machine):
    fields = read_fields(machine(TRACEFS))
    assert fields["xdp_devmap_xmit"] >= {"from_ifindex", "act", "to_ifindex", "drops", "err"}
    assert list(fields) == ["xdp_exception", "xdp_devmap_xmit"]
    text = source(fields)
    assert ".program = args->prog_id" in text
    assert text.count("TRACEPOINT_PROBE") == 2
    old = source({"xdp_devmap_xmit": fields["xdp_devmap_xmit"] - {"err"}})
    assert "args->err" not in old
    assert "count(&key, args->drops)" in old


def test_nothing_stands_in_the_way_of_a_host_that_has_all(machine, release):
    host = machine({**TRACEFS, f"/usr/src/linux-headers-{release}/Makefile": ""})
    build = host.path(f"/lib/modules/{release}/build")
    build.parent.mkdir(parents=True)
    build.symlink_to(host.path(f"/usr/src/linux-headers-{release}"))
    assert obstacles(host) == []


def test_a_link_to_headers_that_were_removed_is_no_headers(machine, release):
    host = machine(TRACEFS, {f"/lib/modules/{release}/build": "/usr/src/removed-headers"})
    (reason,) = obstacles(host)
    assert f"linux-headers-{release}" in reason


def test_a_kernel_that_carries_its_headers_needs_no_package(machine, release):
    dependencies = {f"/lib/modules/{release}/modules.dep": "kernel/kernel/kheaders.ko.xz:\n"}
    assert obstacles(machine({**TRACEFS, **dependencies})) == []


def test_everything_that_is_missing_is_named_at_once(machine, release, monkeypatch):
    def without_bcc(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", without_bcc)
    monkeypatch.setattr(bpf, "refusal", lambda _type: PermissionError(errno.EPERM, "Operation not permitted"))
    with pytest.raises(Impossible) as failure:
        watch(machine(), 1)
    message = str(failure.value)
    for word in ("python3-bpfcc", f"linux-headers-{release}", "PERFMON", "mount -t tracefs"):
        assert word in message
    assert len(failure.value.facts["reasons"]) == 4


@pytest.mark.parametrize(
    ("error", "lockdown", "word"),
    [
        (errno.EPERM, "none integrity [confidentiality]\n", "lockdown (confidentiality)"),
        (errno.EPERM, "[none] integrity confidentiality\n", "PERFMON"),
        (errno.EINVAL, None, "CONFIG_BPF_EVENTS"),
    ],
)
def test_a_refusal_names_its_cause(machine, release, monkeypatch, error, lockdown, word):
    monkeypatch.setattr(bpf, "refusal", lambda _type: OSError(error, "refused"))
    files = {"/sys/kernel/security/lockdown": lockdown} if lockdown else {}
    reasons = obstacles(machine({**TRACEFS, f"/lib/modules/{release}/build/Makefile": "", **files}))
    assert len(reasons) == 1
    assert word in reasons[0]


def test_a_kernel_without_xdp_events_is_too_old(machine, release):
    host = machine({f"{EVENTS}/enable": "0", f"/lib/modules/{release}/build/Makefile": ""})
    with pytest.raises(Impossible, match="no XDP tracepoints"):
        watch(host, 1)


@pytest.mark.parametrize(
    ("event", "action", "error", "reported", "reason"),
    [
        ("xdp_exception", 0, 0, ("aborted", None), "gave up"),
        ("xdp_exception", 42, 0, ("unknown 42", None), "no action"),
        ("xdp_exception", 3, 0, ("tx", None), "could not send the packet back"),
        ("xdp_exception", 2, 0, ("pass", None), "could not carry out"),
        ("xdp_redirect_err", 4, errno.EINVAL, ("redirect", "EINVAL"), "no valid interface"),
        ("xdp_redirect_map_err", 4, errno.ENETDOWN, ("redirect", "ENETDOWN"), "is down"),
        ("xdp_redirect_err", 4, errno.ELOOP, ("redirect", "ELOOP"), "symbolic links"),
        ("xdp_redirect_err", 4, 524, ("redirect", "524"), "524"),
        ("xdp_cpumap_enqueue", 4, 0, ("redirect", None), "queue of the target was full"),
    ],
)
def test_a_count_is_reported_in_words(event, action, error, reported, reason):
    count = Count(event, ifindex=2, action=action, error=error, to_ifindex=3, map=0, program=7, packets=5)
    described = describe(count, {2: "ens1"}, {7: "tripod_xdp"})
    assert (described["action"], described["error"]) == reported
    assert reason in described["reason"]
    assert (described["interface"], described["to_interface"], described["map_id"]) == ("ens1", None, None)
    assert described["program"] == {"id": 7, "name": "tripod_xdp"}


def test_what_an_event_does_not_tell_is_none_and_not_0():
    described = describe(Count("xdp_cpumap_enqueue", 0, 4, 0, 0, 9, 0, 1), {}, {})
    assert (described["interface"], described["ifindex"], described["program"]) == (None, None, None)
    assert described["map_id"] == 9


class Table:
    """A BPF map as bcc shows it."""

    def __init__(self, *keys):
        self._keys = keys

    def items(self):
        for event, number, packets in self._keys:
            key = {"event": event, "ifindex": 2, "action": 4, "error": -22 * event, "to_ifindex": 0, "program": 7}
            yield SimpleNamespace(map=number, **key), SimpleNamespace(value=packets)


class Bcc:
    """What is used of bcc; compiling fails where an error is given."""

    def __init__(self, error=None):
        self.error, self.cleaned = error, False

    def BPF(self, text):  # noqa: N802
        if self.error:
            os.write(2, b"prog.c:1: unknown type name 'u33'\n")
            raise self.error
        return self

    def __getitem__(self, name):
        if name == "lost":
            return {0: SimpleNamespace(value=3)}
        return Table((0, 0x7FFFFFFF, 5), (1, 9, 700))

    def cleanup(self):
        self.cleaned = True


def test_counts_are_read_when_the_time_is_over(machine, release, monkeypatch):
    bcc = Bcc()
    monkeypatch.setattr(importlib, "import_module", lambda _name: bcc)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    seen = watch(machine({**TRACEFS, f"/lib/modules/{release}/build/Makefile": ""}), 30)
    assert seen.counts == [
        Count("xdp_redirect_err", 2, 4, errno.EINVAL, 0, 9, 7, 700),
        Count("xdp_exception", 2, 4, 0, 0, 0, 7, 5),
    ]
    assert seen.lost == 3
    assert bcc.cleaned


def test_what_the_compiler_says_is_reported(machine, release, monkeypatch):
    bcc = Bcc(Exception("Failed to compile BPF module <text>"))
    monkeypatch.setattr(importlib, "import_module", lambda _name: bcc)
    host = machine({**TRACEFS, f"/lib/modules/{release}/build/Makefile": ""})
    with pytest.raises(ApplyFailed, match="Failed to compile") as failure:
        watch(host, 1)
    assert "unknown type name 'u33'" in failure.value.facts["bcc"]
