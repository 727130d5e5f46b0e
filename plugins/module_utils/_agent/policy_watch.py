# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""``tripod-host policy watch``: what is dropped, or would be, at this moment, by which rule, and what it looks like."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import BinaryIO

from .._core.converge import Impossible, Invalid, Refused
from .._core.system import Host
from .._policy.fields import parse_milliseconds
from .._samples import packet, pcapng
from .._samples.control import SESSION, Filter
from .._samples.sample import DROP_REASONS, REASONS, Sample, facts
from .daemon import end_on_request, single_instance
from .export_request import MOST_SAMPLES
from .policy_feeds import Feeds, assignments
from .reapply import add_state_dir

PID_FILE = "/run/tripod/policy-watch.pid"
RATE = 100  # samples in a second of each NIC
POLL = 0.1  # seconds; the ring has room for three thousand samples
UPDATE = 1.0  # seconds until NICs, programs and parts are looked at again


def duration(text: str) -> float:
    """Return seconds from ``500ms``, ``10s``, ``5m``, ``1h``, ``2d`` or ``1w``, for argparse."""
    milliseconds = parse_milliseconds(text)
    if not milliseconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 500ms, 30s, 10m or 1h")
    return milliseconds / 1000


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def _rate(text: str) -> int:
    number = _positive(text)
    if number > MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"{number} samples in a second > {MOST_SAMPLES}, what a reader keeps up with")
    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``tripod-host policy watch``."""
    add_state_dir(parser)
    parser.add_argument("interfaces", nargs="*", metavar="INTERFACE", help="by default all that a policy judges")
    parser.add_argument(
        "--reason",
        action="append",
        choices=REASONS,
        metavar="REASON",
        help="only packets that were, or would have been, judged for this; may be repeated. By default what drops: "
        f"{', '.join(DROP_REASONS)}; also {', '.join(one for one in REASONS if one not in DROP_REASONS)}",
    )
    parser.add_argument("--id", metavar="PART", help="only of this part, such as rule:no-snmp or list:bogons")
    parser.add_argument(
        "--rate", type=_rate, default=RATE, help="samples in a second of each NIC at most (%(default)s)"
    )
    parser.add_argument("--history", action="store_true", help="begin with the samples that are still there")
    parser.add_argument("--json", action="store_true", help="a JSON object on each line")
    parser.add_argument("--pcapng", metavar="FILE", help="write a capture in place of lines; - for standard output")
    parser.add_argument("--count", type=_positive, help="end after so many samples")
    parser.add_argument("--for", dest="seconds", type=duration, metavar="DURATION", help="end after 30s, 10m, 1h")
    parser.add_argument("--pid-file", default=PID_FILE, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Show packets that the policy drops, or would drop where a part is in observe mode, as they come.

    Raises:
        Invalid: A part of that id is in none of the policies, or the capture cannot be written there.
        Impossible: No policy judges any of the NICs.
        Refused: Somebody else watches at this moment.
    """
    host = Host()
    reasons = options.reason or DROP_REASONS

    def requested(slots: Mapping[str, int]) -> Filter | None:
        if options.id and options.id not in slots:
            return None
        return Filter(reasons, reasons, slots.get(options.id, 0), options.rate)

    _check(options, {name: one.slots for name, one in assignments(host, options.state_dir).items()})
    end_on_request()
    with ExitStack() as held:
        try:
            held.enter_context(single_instance(options.pid_file, options.version))
        except Refused:
            holder = next(iter((host.read(options.pid_file) or "").split()), "unknown")
            raise Refused(
                f"somebody else watches (process {holder}), and a program has one tap for people: end that one first"
            ) from None
        output = _output(options, held)
        feeds = held.enter_context(
            Feeds(host, options.state_dir, SESSION, requested, options.interfaces, options.history)
        )
        seen = 0
        try:
            for sample in _samples(feeds, options.seconds):
                if _shows(options, sample):
                    output.write(sample)
                    seen += 1
                if seen == options.count:
                    break
        except BrokenPipeError:  # as of "| head"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            output.end(seen, feeds.lost())
    return 0


def _check(options: argparse.Namespace, slots: Mapping[str, Mapping[str, int]]) -> None:
    """Raise where nothing could come, with what there is instead."""
    strange = sorted(set(options.interfaces) - slots.keys())
    if strange or not slots:
        raise Impossible(
            f"no policy judges {', '.join(strange) or 'any NIC'}: name a policy in xdp_interfaces, or one of the NICs "
            f"that have one ({', '.join(sorted(slots)) or 'none'})"
        )
    parts = sorted({part for name, held in slots.items() if name in (options.interfaces or slots) for part in held})
    if options.id and options.id not in parts:
        raise Invalid(f"{options.id!r} is no part of the policy; there are {', '.join(parts) or 'none'}")


def _samples(feeds: Feeds, seconds: float | None) -> Iterator[Sample]:
    """Yield samples as they come, for so long."""
    now = time.monotonic()
    end, update = None if seconds is None else now + seconds, now
    while end is None or now < end:
        if now >= update:
            feeds.update()
            update = now + UPDATE
        yield from feeds.read()
        sys.stdout.flush()
        time.sleep(POLL if end is None else max(0.0, min(POLL, end - time.monotonic())))
        now = time.monotonic()
    yield from feeds.read()


def _shows(options: argparse.Namespace, sample: Sample) -> bool:
    """Whether a sample is one that is requested; those that were there before were taken for others."""
    if options.reason and not {sample.reason, sample.would_reason}.intersection(options.reason):
        return False
    return not options.id or options.id in (sample.part, sample.would_part)


class _Lines:
    """Writes a line for each sample.

    Args:
        as_json: Each a JSON object.
    """

    def __init__(self, as_json: bool) -> None:
        self._line = _json if as_json else _line

    def write(self, sample: Sample) -> None:
        """Add a sample."""
        sys.stdout.write(f"{self._line(sample)}\n")

    def end(self, seen: int, lost: Mapping[str, int]) -> None:
        """Say what did not come."""
        _say_lost(seen, lost)


class _Capture:
    """Writes samples as pcapng; see ``_Lines``."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._writer = file, pcapng.Writer(file, "tripod-host")

    def write(self, sample: Sample) -> None:
        """Add a sample."""
        self._writer.write(sample)
        self._file.flush()

    def end(self, seen: int, lost: Mapping[str, int]) -> None:
        """Say what did not come, there too."""
        for name, number in lost.items():
            self._writer.lost(name, time.time_ns(), number)
        self._file.flush()
        _say_lost(seen, lost)


def _output(options: argparse.Namespace, held: ExitStack) -> _Lines | _Capture:
    if options.pcapng is None:
        return _Lines(options.json)
    if options.pcapng == "-":
        return _Capture(sys.stdout.buffer)
    try:
        # What was in a packet is for who may see packets.
        descriptor = os.open(options.pcapng, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Invalid(f"the capture cannot be written to {options.pcapng}: {error.strerror}") from error
    return _Capture(held.enter_context(open(descriptor, "wb")))


def _say_lost(seen: int, lost: Mapping[str, int]) -> None:
    gone = ", ".join(f"{number} of {name}" for name, number in lost.items() if number)
    sys.stderr.write(
        f"{seen} sample{'' if seen == 1 else 's'}"
        + (f"; {gone} found no room, or were read too late\n" if gone else "\n")
    )


def _json(sample: Sample) -> str:
    return json.dumps(facts(sample))


def _line(sample: Sample) -> str:
    seconds, rest = divmod(sample.time, 10**9)
    words = [f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest:09d}", sample.interface]
    words += [word for word in (sample.verdict, sample.reason, sample.part) if word]
    if sample.would:
        would = " ".join(word for word in (sample.would_reason, sample.would_part) if word)
        words.append(f"(would {sample.would}: {would})")
    return " ".join([*words, packet.in_words(sample.frame, sample.length)])
