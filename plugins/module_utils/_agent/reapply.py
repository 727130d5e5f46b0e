# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What is requested of this host, reapplied: after a boot, a link-up or a driver reload, or by hand.

Every resource that the kernel forgets has its request in a state file; here the same planner runs on it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .._boot import sysctl_resource as sysctl
from .._core import lock, state_store
from .._core.converge import Change, CoreError, Incomplete, Outcome, converge, describe, described, diff
from .._core.errors import in_words, reason
from .._core.names import interface_fault, path_fault
from .._core.system import Host
from .._cpu import resource as cpu_isolation
from .._firewall import request as firewall_request
from .._firewall import resource as firewall
from .._guard.outcome import expire
from .._hugepages import resource as hugepages
from .._nic import resource as nic
from .._xdp import bpffs, policy_documents, policy_judged, policy_resource, policy_takeover, policy_tests, program

CONVERGED, FAILED, DIFFERS = 0, 1, 2  # exit statuses
# What the last reapply could not bring to the host; the kernel's refusals show only when it is tried.
FAILURES = "/run/tripod/failures.json"

log = logging.getLogger("tripod-host")


class Reapply(Protocol):
    """Brings the host to what a state file's body requests; ``only`` names the interfaces concerned, None for all."""

    def __call__(
        self, body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None
    ) -> Outcome:
        """Plan and, unless checking, apply."""


def _reapply_xdp(
    body: Mapping[str, Any], host: Host, check: bool = False, only: Collection[str] | None = None
) -> Outcome:
    # Where no service manager runs, nobody else mounts it at boot.
    pins = bpffs.PinRoot(bpffs.MOUNT, body["pin_root"], body["pin_group"])
    if not check and not bpffs.on_bpffs(host, pins.path) and not bpffs.Bpffs(pins).read(host).mounted:
        converge(bpffs.Bpffs(pins), pins, host)
    return program.reapply(body, host, check, only)


# By kind, in the order they are applied: programs are attached to NICs that are set up, and policies are maps
# of attached programs.
REAPPLIERS: Mapping[str, Reapply] = {
    # Needs nothing of what comes after it, and what it keeps out may come with the first link.
    firewall_request.KIND: firewall.reapply,
    cpu_isolation.KIND: cpu_isolation.reapply,
    hugepages.KIND: hugepages.reapply,
    sysctl.KIND: sysctl.reapply,
    nic.KIND: nic.reapply,
    program.KIND: _reapply_xdp,
    policy_documents.KIND: policy_documents.reapply,
    policy_documents.TESTS_KIND: policy_tests.reapply,
    policy_resource.KIND: policy_resource.reapply,
    policy_takeover.KIND: policy_takeover.reapply,
}
# What a guard restores, which may be more than a state file says.
RESTORERS: Mapping[str, Reapply] = {**REAPPLIERS, policy_judged.KIND: policy_judged.reapply}
# What a link that comes up, or appears, can have lost.
LINK_KINDS = (nic.KIND, program.KIND, policy_resource.KIND, policy_takeover.KIND)
# What the watch checks by itself: these kinds, each under a name that no link has.
SUBJECTS: Mapping[str, str] = {firewall.SUBJECT: firewall_request.KIND}


@dataclass(frozen=True)
class Result:
    """What became of a state file.

    Attributes:
        name: The state file's.
        kind: Which resource it speaks of; "" where that cannot be told.
        changes: What was changed or, when checking, would be.
        error: Why it could not be applied, or checked.
        absent: Whether what it speaks of does not exist now.
        failures: Where a part of it could: why the rest could not, by the first words of a change's path.
    """

    name: str
    kind: str
    changes: Sequence[Change] = ()
    error: str | None = None
    absent: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """``converged``, ``differs``, ``absent``, ``degraded`` where a part cannot be as requested, or ``failed``."""
        if self.failures:
            return "degraded"
        if self.error:
            return "failed"
        return "absent" if self.absent else "differs" if self.changes else "converged"

    @property
    def lines(self) -> list[str]:
        """Return a line for each change; one for all entries of a policy, where they are many."""
        return described(self.changes)


def reapply(
    host: Host,
    directory: str = state_store.DIRECTORY,
    check: bool = False,
    kinds: Collection[str] | None = None,
    only: Collection[str] | None = None,
    reappliers: Mapping[str, Reapply] | None = None,
) -> list[Result]:
    """Reapply the state files of a host; one that fails does not hold up the others.

    Args:
        host: The machine.
        directory: Where the state files are.
        check: Plan only.
        kinds: Which kinds; all by default.
        only: The interfaces concerned; all by default.
        reappliers: How, by kind and in order; REAPPLIERS by default.
    """
    reappliers = REAPPLIERS if reappliers is None else reappliers
    if not check:
        with suppress(OSError):  # what is requested is brought about all the same
            state_store.clear(host, directory)
    state_files = {one.name: one for one in state_store.load_all(host, directory)}
    # Taking over a release before writes new ones meanwhile.
    damaged = [name for name in _names(host, directory) if name not in state_files]
    # Variables are in a file that others read too, and in none of ours.
    variables = sysctl.saved(host) if directory == state_store.DIRECTORY and sysctl.KIND in reappliers else None
    if variables:
        state_files[variables.name] = variables
    results = []
    order = list(reappliers)
    for state_file in sorted(
        state_files.values(),
        key=lambda one: (order.index(one.kind) if one.kind in reappliers else len(order), one.name),
    ):
        if kinds is not None and state_file.kind not in kinds:
            continue
        about = state_file.body.get("interface")
        if only is not None and about is not None and about not in only:
            continue  # it is not compared, so nothing is said of it
        if state_file.kind not in reappliers:
            reason = f"this agent knows no state files of kind {state_file.kind!r}: apply the host_agent role again"
            results.append(Result(state_file.name, state_file.kind, error=reason))
            continue
        results.append(_reapply(reappliers[state_file.kind], state_file, host, check, only))
    known = _load_failures(host)
    if check:
        results = [_with_failures(result, known.get(result.name, {})) for result in results]
    else:
        _store_failures(host, known, results, only)
    if kinds is None:
        reason = "cannot be understood: run the playbook that wrote it again"
        results += [Result(name, "", error=f"{state_store.path(name, directory)} {reason}") for name in damaged]
    return results


def _reapply(
    one: Reapply, state_file: state_store.StateFile, host: Host, check: bool, only: Collection[str] | None
) -> Result:
    try:
        outcome = one(state_file.body, host, check, only)
    except Incomplete as error:
        changes = tuple(error.outcome.changes)
        return Result(state_file.name, state_file.kind, changes, str(error), failures=error.failures)
    except (CoreError, OSError) as error:
        return Result(state_file.name, state_file.kind, error=in_words(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Written by another version, or by hand; only the traceback shows where it failed.
        log.debug("%s", state_file.name, exc_info=True)
        return Result(state_file.name, state_file.kind, error=f"its state file is not understood: {error!r}")
    return Result(state_file.name, state_file.kind, tuple(outcome.changes), absent=outcome.absent)


def _with_failures(result: Result, known: Mapping[str, str]) -> Result:
    """Return what was checked with what the last reapply failed at, as far as that is not right by now."""
    paths = [" ".join(change.path) for change in result.changes]
    open_ = {what: why for what, why in known.items() if any(f"{path} ".startswith(f"{what} ") for path in paths)}
    if (result.error and not result.failures) or not open_:
        return result
    failures = {**open_, **result.failures}
    return replace(result, error="; ".join(failures.values()), failures=failures)


def _load_failures(host: Host) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(host.read(FAILURES) or "{}")
        return {name: dict(failures) for name, failures in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # it is only what ``status`` adds


def _store_failures(
    host: Host, known: Mapping[str, Mapping[str, str]], results: Sequence[Result], only: Collection[str] | None
) -> None:
    kept = {name: dict(failures) for name, failures in known.items()}
    for result in results:
        before = kept.pop(result.name, {})
        untried = {what: why for what, why in before.items() if only is not None and what not in only}
        if now := {**untried, **result.failures}:
            kept[result.name] = now
    if kept == known:
        return
    try:
        if kept:
            host.write_atomically(FAILURES, json.dumps(kept, indent=2) + "\n")
        else:
            host.remove(FAILURES)
    except OSError as error:
        log.warning("%s: %s; status will not show what failed", FAILURES, reason(error))


def _names(host: Host, directory: str) -> list[str]:
    return [name[: -len(".json")] for name in host.list(directory) if name.endswith(".json")]


def log_results(results: Sequence[Result]) -> None:
    """Log what was changed, and what failed."""
    for result in results:
        for line in result.lines:
            log.info("%s: %s", result.name, line)
        if result.error:
            log.error("%s: %s", result.name, result.error)


def exit_status(results: Sequence[Result]) -> int:
    """Return the worst: something failed, something differs or is absent, or all is as requested."""
    states = {result.state for result in results}
    if states & {"failed", "degraded"}:
        return FAILED
    return DIFFERS if states & {"differs", "absent"} else CONVERGED


def table(results: Sequence[Result]) -> str:
    """Return a line for each state file, and one for each change or error below it."""
    if not results:
        return "nothing is requested of this host\n"
    width = max(len("RESOURCE"), *(len(result.name) for result in results))
    lines = [f"{'RESOURCE':{width}}  STATE"]
    for result in results:
        lines.append(f"{result.name:{width}}  {result.state}")
        lines += [f"  {line}" for line in result.lines]
        lines += [f"  {line}" for line in result.failures.values() or filter(None, [result.error])]
    return "\n".join(lines) + "\n"


def as_json(results: Sequence[Result]) -> str:
    """Return the same for programs."""
    content = [
        {
            "name": result.name,
            "kind": result.kind,
            "state": result.state,
            "changes": [describe(change) for change in result.changes],
            "diff": diff(result.changes),
            "error": result.error,
            "failures": dict(result.failures),
        }
        for result in results
    ]
    return json.dumps(content, indent=2) + "\n"


class _FormerName(argparse.Action):
    """Takes an option's former name, and says so."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the value under the name of today."""
        log.warning("%s is deprecated and goes with release 3.0.0: use --state-dir", option_string)
        setattr(namespace, self.dest, values)


def interface(text: str) -> str:
    """Return an interface's name, for argparse."""
    fault = interface_fault(text)
    if fault:
        raise argparse.ArgumentTypeError(f"{text!r} {fault}, which no name of an interface does")
    return text


def path(text: str) -> str:
    """Return a path, for argparse."""
    fault = path_fault(text)
    if fault:
        raise argparse.ArgumentTypeError(f"{text!r} {fault}")
    return text


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """Declare where the state files are."""
    directory = state_store.DIRECTORY
    parser.add_argument("--state-dir", default=directory, type=path, help="where the state files are (%(default)s)")
    parser.add_argument(
        "--documents", dest="state_dir", default=directory, type=path, action=_FormerName, help=argparse.SUPPRESS
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``apply`` and ``diff``."""
    add_state_dir(parser)
    parser.add_argument(
        "--kind", action="append", choices=list(REAPPLIERS), help="only this kind of state file; repeatable"
    )
    parser.add_argument(
        "--interface", action="append", type=interface, help="only what concerns this interface; repeatable"
    )


def add_status_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``status`` and ``diff``."""
    add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run_apply(options: argparse.Namespace) -> int:
    """Reapply what is requested of the host, after reverting what nobody confirmed before a reboot.

    The exit status is 1 where something could not be applied.
    """
    host = Host()
    try:
        expire(host, RESTORERS)
    except (CoreError, OSError) as error:
        # The watch goes on with it; the host must come up all the same.
        log.error("guards: %s", error)
    with lock.alone(host):
        results = reapply(host, options.state_dir, kinds=options.kind, only=options.interface)
    log_results(results)
    failed = [result.name for result in results if result.error]
    changed = sum(1 for result in results if result.changes)
    log.info("%d of %d state files were reapplied, %d failed", changed, len(results), len(failed))
    return FAILED if failed else CONVERGED


def run_status(options: argparse.Namespace) -> int:
    """Say of every resource whether it is as requested, and what differs.

    The exit status is 0 where all is as requested, 2 where something differs or is absent, 1 where something cannot be
    checked.
    """
    results = reapply(Host(), options.state_dir, check=True, kinds=options.kind, only=options.interface)
    sys.stdout.write(as_json(results) if options.json else table(results))
    return exit_status(results)


def run_diff(options: argparse.Namespace) -> int:
    """Show what ``apply`` would change; the exit status is that of ``status``."""
    results = reapply(Host(), options.state_dir, check=True, kinds=options.kind, only=options.interface)
    if options.json:
        sys.stdout.write(as_json([result for result in results if result.state != "converged"]))
    else:
        sys.stdout.writelines(f"{describe(change)}\n" for result in results for change in result.changes)
        for result in results:
            if result.error:
                log.error("%s: %s", result.name, result.error)
    return exit_status(results)
