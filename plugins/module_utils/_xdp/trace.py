# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What goes wrong behind XDP programs: the kernel's own tracepoints, counted in the kernel by a bcc program.

No driver counts these in the same place, and most count them nowhere. The events are added up in a BPF map, so that a
storm of them costs no more than a few.
"""

from __future__ import annotations

import errno
import importlib
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._core.converge import ApplyFailed, Impossible
from .._core.system import Host
from .._linux import bpf, libbpf

TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
LONGEST = 3600  # seconds
ACTIONS = ("aborted", "drop", "pass", "tx", "redirect")  # enum xdp_action of linux/bpf.h
_KEYS = 8192  # distinct (event, device, action, error, ...); what does not fit is counted as lost
_COMMON_FIELD = re.compile(r"^\s*field:.*\b(\w+)(?:\[\w*\])?;\s*offset:", re.MULTILINE)
_NO_MAP = 0x7FFFFFFF  # what the kernel reports of a redirection without a map
_PERMISSION = (errno.EPERM, errno.EACCES)


@dataclass(frozen=True)
class Event:
    """A tracepoint, and which of its fields say what.

    Attributes:
        name: Below ``xdp`` in tracefs.
        device: Field with the index of the interface the packet came in by.
        to_device: Field with the index of the interface that it was to leave by.
        packets: Field with the number of packets concerned; one packet where this is "".
    """

    name: str
    device: str = "ifindex"
    to_device: str = ""
    packets: str = ""


# include/trace/events/xdp.h in the Linux tree; fields that a kernel does not have are left out.
EVENTS = (
    Event("xdp_exception"),
    Event("xdp_redirect_err", to_device="to_ifindex"),
    Event("xdp_redirect_map_err", to_device="to_ifindex"),
    Event("xdp_bulk_tx", packets="drops"),
    Event("xdp_devmap_xmit", device="from_ifindex", to_device="to_ifindex", packets="drops"),
    Event("xdp_cpumap_enqueue", device="", packets="drops"),
)

_EXCEPTIONS = {
    "aborted": "the program gave up (XDP_ABORTED), or redirected by a map without an entry for its key",
    "tx": "the driver could not send the packet back (XDP_TX): its transmit queue is full or missing",
    "redirect": "the redirection failed in the driver: see the redirect errors for the reason",
}
# Documentation of the xdp-monitor tool and net/core/filter.c in the Linux tree.
_ERRORS = {
    errno.EINVAL: "the program named no valid interface, or changed nothing but the action",
    errno.ENETDOWN: "the interface to leave by is down, or has no carrier",
    errno.EMSGSIZE: "the packet is longer than the MTU of the interface to leave by",
    errno.EOPNOTSUPP: "the driver of the interface to leave by takes no redirected packets (no ndo-xmit)",
    errno.ENOSPC: "the queue of the target CPU or interface is full",
    errno.ENXIO: "the driver of the interface to leave by is not ready for redirected packets: give it an XDP program",
    errno.ENOENT: "the map has no entry for the key",
    errno.EBUSY: "nobody reads the AF_XDP socket",
    errno.ENOBUFS: "the AF_XDP socket is out of frames",
}


@dataclass(frozen=True)
class Count:
    """Packets that met one fate.

    Attributes:
        event: Tracepoint.
        ifindex, to_ifindex: Interface indices as the kernel gave them; 0 where it gave none.
        action: Number the program returned.
        error: Error number, positive; 0 where there was none.
        program: Id of the program; 0 where the tracepoint does not say.
        map: Id of the map that was redirected by; 0 where there was none.
    """

    event: str
    ifindex: int
    action: int
    error: int
    to_ifindex: int
    map: int
    program: int
    packets: int


@dataclass(frozen=True)
class Observation:
    """What was seen.

    Attributes:
        seconds: How long it was really watched.
        events: Tracepoints that were watched; an older kernel lacks some.
        counts: By fate, most packets first.
        lost: Packets whose fate found no room in the map.
    """

    seconds: float
    events: Sequence[str]
    counts: Sequence[Count]
    lost: int


def obstacles(host: Host) -> list[str]:
    """Return everything that keeps this host from tracing, each with its remedy."""
    reasons = []
    try:
        importlib.import_module("bcc")
    except ImportError as error:
        reasons.append(
            f"bcc cannot be imported by {sys.executable} ({error}): install the package python3-bpfcc (Debian, Ubuntu) "
            "or python3-bcc (Fedora, RHEL), and let ansible_python_interpreter name the distribution's Python, "
            "/usr/bin/python3"
        )
    release = platform.release()
    if not _has_headers(host, release):
        reasons.append(
            f"the headers of the running kernel are not in /lib/modules/{release}/build, without which bcc compiles "
            f"nothing: install the package linux-headers-{release} (Debian, Ubuntu) or kernel-devel-{release} (Fedora, "
            "RHEL); if the archive has only a newer one, boot that kernel first. A kernel that you build yourself "
            "carries them with CONFIG_IKHEADERS=m"
        )
    refused = None if libbpf.missing_library() else bpf.refusal(bpf.PROGRAM_TYPE_TRACEPOINT)
    if refused:
        reasons.append(_no_permission(host, refused))
    if _events_directory(host) is None:
        reasons.append(
            f"no tracepoints below {' or '.join(TRACEFS)}: mount them, 'mount -t tracefs tracefs {TRACEFS[0]}'; "
            "where they are still absent the kernel was built without CONFIG_FTRACE"
        )
    return reasons


def watch(host: Host, duration: float) -> Observation:
    """Count XDP errors on every interface for a while.

    Args:
        host: The machine.
        duration: Seconds.

    Raises:
        Impossible: Something is missing, everything at once.
        ApplyFailed: bcc cannot compile or load the program after all.
    """
    missing = obstacles(host)
    if missing:
        raise Impossible("XDP events cannot be traced here: " + "; ".join(missing), reasons=missing)
    fields = read_fields(host)
    if not fields:
        raise Impossible(f"kernel {platform.release()} has no XDP tracepoints, which came with 4.8: boot a newer one")
    with _loaded(source(fields)) as program:
        started = time.monotonic()
        time.sleep(duration)
        seconds = time.monotonic() - started
        counts = [
            Count(
                event=EVENTS[key.event].name,
                ifindex=key.ifindex,
                action=key.action,
                error=abs(key.error),
                to_ifindex=key.to_ifindex,
                map=0 if key.map == _NO_MAP else key.map,
                program=key.program,
                packets=value.value,
            )
            for key, value in program["counts"].items()
        ]
        lost = sum(value.value for value in program["lost"].values())
    return Observation(seconds, list(fields), sorted(counts, key=lambda one: -one.packets), lost)


def read_fields(host: Host) -> dict[str, set[str]]:
    """Return the fields of each tracepoint of EVENTS that this kernel has."""
    directory = _events_directory(host)
    found = {}
    for event in EVENTS:
        text = host.read(f"{directory}/{event.name}/format")
        if text is not None:
            found[event.name] = set(_COMMON_FIELD.findall(text))
    return found


def source(fields: Mapping[str, set[str]]) -> str:
    """Return the bcc program that counts the events.

    Args:
        fields: What each tracepoint offers on this kernel.
    """
    probes = [_probe(number, event, fields[event.name]) for number, event in enumerate(EVENTS) if event.name in fields]
    return _SOURCE % {"keys": _KEYS} + "".join(probes)


def describe(count: Count, names: Mapping[int, str], programs: Mapping[int, str]) -> dict[str, Any]:
    """Return a count in words, ready for JSON; None where the event does not say.

    Args:
        count: What was counted.
        names: Interface names by index.
        programs: Program names by id.
    """
    known = count.action < len(ACTIONS)
    return {
        "event": count.event,
        "interface": names.get(count.ifindex),
        "ifindex": count.ifindex or None,
        "action": ACTIONS[count.action] if known else f"unknown {count.action}",
        "error": errno.errorcode.get(count.error, str(count.error)) if count.error else None,
        "reason": _reason(count),
        "to_interface": names.get(count.to_ifindex),
        "map_id": count.map or None,
        "program": {"id": count.program, "name": programs.get(count.program)} if count.program else None,
        "packets": count.packets,
    }


_SOURCE = """\
struct key { u32 event; u32 ifindex; u32 action; s32 error; u32 to_ifindex; u32 map; u32 program; };
BPF_HASH(counts, struct key, u64, %(keys)d);
BPF_ARRAY(lost, u64, 1);

static inline int count(struct key *key, u64 packets)
{
    u64 zero = 0, *sum = counts.lookup_or_try_init(key, &zero);
    int first = 0;

    if (!sum)
        sum = lost.lookup(&first);
    if (sum)
        __sync_fetch_and_add(sum, packets);
    return 0;
}
"""


def _probe(number: int, event: Event, fields: set[str]) -> str:
    members = {
        "ifindex": event.device,
        "action": "act",
        "error": "err",
        "to_ifindex": event.to_device,
        "map": "map_id",
        "program": "prog_id",
    }
    given = [f".{member} = args->{field}" for member, field in members.items() if field in fields]
    key = ", ".join([f".event = {number}", *given])
    lines = [f"\nTRACEPOINT_PROBE(xdp, {event.name})", "{", f"    struct key key = {{{key}}};", ""]
    if event.packets:
        lines += [f"    if ((int)args->{event.packets} <= 0)", "        return 0;"]
    lines += [f"    return count(&key, {'args->' + event.packets if event.packets else '1'});", "}", ""]
    return "\n".join(lines)


def _reason(count: Count) -> str:
    if count.error:
        return _ERRORS.get(count.error, os.strerror(count.error))
    if count.event == "xdp_exception":
        if count.action >= len(ACTIONS):
            return "the program returned a number that is no action"
        return _EXCEPTIONS.get(ACTIONS[count.action], "the driver could not carry out the action")
    return "the queue of the target was full"


def _has_headers(host: Host, release: str) -> bool:
    # A link that hangs in the air is what a removed headers package leaves. Where kheaders is a module, bcc loads it.
    return (
        host.exists(f"/lib/modules/{release}/build")
        or host.exists(f"/lib/modules/{release}/source")
        or host.exists("/sys/kernel/kheaders.tar.xz")
        or "/kheaders.ko" in (host.read(f"/lib/modules/{release}/modules.dep") or "")
    )


def _events_directory(host: Host) -> str | None:
    return next((f"{one}/events/xdp" for one in TRACEFS if host.exists(f"{one}/events/xdp")), None)


def _no_permission(host: Host, refused: OSError) -> str:
    if refused.errno not in _PERMISSION:
        return f"the kernel loads no tracing programs ({refused.strerror}): boot one with CONFIG_BPF_EVENTS=y"
    lockdown = re.search(r"\[(\w+)\]", host.read("/sys/kernel/security/lockdown") or "")
    if lockdown and lockdown.group(1) != "none":
        return (
            f"tracing programs are refused ({refused.strerror}) by kernel lockdown ({lockdown.group(1)}): boot without "
            "'lockdown=' and Secure Boot, or watch on another host"
        )
    return (
        f"tracing programs are refused ({refused.strerror}): run as root with the capabilities BPF and PERFMON "
        "(become: true); in a container or a machine whose kernel withholds them, watch on the machine around it"
    )


@contextmanager
def _loaded(text: str) -> Iterator[Any]:
    """Compile, load and attach; bcc says what is wrong on standard error, which is moved into the exception."""
    bcc = importlib.import_module("bcc")
    with tempfile.TemporaryFile() as said:
        standard_error = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            program = bcc.BPF(text=text)
        except Exception as error:  # bcc raises bare exceptions
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
            raise ApplyFailed(f"bcc cannot count XDP events: {error}", bcc=words, source=text) from error
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
    try:
        yield program
    finally:
        program.cleanup()
