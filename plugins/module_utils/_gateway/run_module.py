# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""From options to an import, and from its report to an answer; secrets come from files, which are read here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._core.converge import Findings, Invalid
from .._core.errors import reason
from .._core.module import Answer
from .._core.system import Host
from .crud import Progress
from .http import REQUEST_SECONDS, WHOLE_SECONDS, Http, parsed_address
from .model import ABSENT, DRAINED, GRPC_POLICIES, PRESENT, Settings
from .options import MAPPING, SERVICE
from .render import describe
from .run import Import, Runner
from .run_report import ProgressFile
from .server import BULK, CRUD, MODES
from .session import Credentials, Session
from .validate import local_only, parse

STILL_SECONDS = 30.0  # that the real server stands still when others ask too much of it: less would give up on it
SECRETS = ("cluster_key", "token", "password")
_SECRET_BYTES = 64 << 10

# What stands for an option that is not given, in the environment of who runs the module.
ENVIRONMENT = {
    "api": "MARCHPROXY_API",
    "cluster_id": "MARCHPROXY_CLUSTER_ID",
    "cluster_key": "CLUSTER_API_KEY",
    "token": "MARCHPROXY_TOKEN",
    "username": "MARCHPROXY_USERNAME",
    "password": "MARCHPROXY_PASSWORD",
    "totp_code": "MARCHPROXY_TOTP_CODE",
}
# Of the module.
OPTIONS: dict[str, dict[str, Any]] = {
    "api": {"type": "str", "required": True},
    "ca_file": {"type": "path"},
    "cluster_key": {"type": "str", "no_log": True},
    "cluster_key_file": {"type": "path", "no_log": False},
    "token": {"type": "str", "no_log": True},
    "token_file": {"type": "path", "no_log": False},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "password_file": {"type": "path", "no_log": False},
    "totp_code": {"type": "str", "no_log": True},
    "cluster": {"type": "str"},
    "cluster_id": {"type": "int"},
    "mode": {"type": "str", "choices": list(MODES), "default": "auto"},
    "app_name": {"type": "str", "required": True},
    "version": {"type": "str", "default": "0.0.0"},
    "generated_by": {"type": "str", "default": "tripod.baremetal"},
    "services": {"type": "list", "elements": "dict", "default": [], "options": SERVICE},
    "mappings": {"type": "list", "elements": "dict", "default": [], "options": MAPPING},
    "local_names": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": [PRESENT, ABSENT, DRAINED], "default": PRESENT},
    "prune": {"type": "bool", "default": False},
    "partial": {"type": "bool", "default": False},
    "grpc_as": {"type": "str", "choices": list(GRPC_POLICIES), "default": "tcp"},
    "strict": {"type": "bool", "default": False},
    "backup": {"type": "path"},
    "restore": {"type": "path"},
    "receipt": {"type": "path"},
    "progress": {"type": "path"},
    "request_timeout": {"type": "float", "default": REQUEST_SECONDS},
    "timeout": {"type": "float", "default": WHOLE_SECONDS},
}


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Import as the options say.

    Args:
        options: As OPTIONS leaves them.
        host: Where files are.
        check: Whether nothing is written.

    Raises:
        CoreError: The options are wrong, the server refused, or something went wrong.
    """
    _check(options)
    document = describe((), options["services"], options["mappings"], _metadata(options)).document
    gateway = parse(document, options["local_names"])
    credentials = _credentials(options, host)
    http = Http(
        options["api"],
        credentials.secrets,
        options["ca_file"],
        options["request_timeout"],
        options["timeout"],
    )
    settings = Settings(
        options["app_name"],
        state=options["state"],
        prune=options["prune"],
        grpc=options["grpc_as"],
        strict=options["strict"],
        partial=options["partial"],
    )
    request = Import(
        gateway,
        settings,
        options["mode"],
        options["cluster_id"],
        options["cluster"],
        options["backup"],
        options["restore"],
        options["receipt"],
    )
    runner = Runner(http, Session(http, credentials), host, check)
    if options["progress"] and not check:
        progress: Progress = ProgressFile(host, options["progress"])
        runner.progress = progress
    report = runner.run(request)
    failure = f"the gateway does not hold what it is to hold: {'; '.join(report.failures)}" if report.failures else None
    return Answer(report.facts, [*local_only(document), *report.warnings], failure)


def faults(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of the options for the connection cannot work, without asking the server or reading a file.

    Args:
        options: Any of OPTIONS; what is missing is not given.
    """
    given = {name: options.get(name) or options.get(f"{name}_file") for name in SECRETS}
    user = options.get("username") and given["password"]
    try:
        parsed_address(options.get("api") or "")
        Credentials(*(options.get(name) for name in ("cluster_key", "token")))
    except Invalid as error:
        yield str(error)
    if bool(options.get("username")) != bool(given["password"]):
        yield "username and password are given together or not at all"
    mode, key, person = options.get("mode") or "auto", given["cluster_key"], given["token"] or user
    if mode == BULK and not key:
        yield "mode bulk requires cluster_key, or its file"
    elif mode == CRUD and not person:
        yield "mode crud requires token, or username and password, or their files"
    elif not key and not person:
        yield "nobody is given: whole imports require cluster_key, single requests token, or username and password"
    if mode not in MODES:
        yield f"mode {mode!r} is none of {', '.join(MODES)}"
    if (options.get("grpc_as") or GRPC_POLICIES[0]) not in GRPC_POLICIES:
        yield f"grpc_as {options['grpc_as']!r} is none of {', '.join(GRPC_POLICIES)}"


def _check(options: Mapping[str, Any]) -> None:
    wrong = Findings(list(faults(options)))
    if options["prune"] and options["state"] != PRESENT:
        wrong.add("prune goes with state present only: with another, the services that it concerns are those described")
    if options["prune"] and not options["services"] and not options["restore"]:
        wrong.add(
            f"prune without any services would remove all of {options['app_name']}: list those, with state absent"
        )
    if options["partial"] and (options["prune"] or options["restore"]):
        wrong.add("partial goes without prune and restore, which remove what is not described")
    if options["restore"] and (options["services"] or options["mappings"] or options["state"] != PRESENT):
        wrong.add("restore takes services from its file, and no others: leave out services, mappings and state")
    if options["request_timeout"] <= STILL_SECONDS:
        wrong.add(
            f"request_timeout {options['request_timeout']:g} s is not above the {STILL_SECONDS:g} s for which the "
            "server can stand still"
        )
    if options["timeout"] < options["request_timeout"]:
        wrong.add(f"timeout {options['timeout']:g} is less than request_timeout {options['request_timeout']:g}")
    wrong.raise_if_any(Invalid, "MarchProxy import")


def _metadata(options: Mapping[str, Any]) -> dict[str, str]:
    return {key: options[key] for key in ("app_name", "generated_by", "version")}


def _credentials(options: Mapping[str, Any], host: Host) -> Credentials:
    found = {name: _secret(name, options, host) for name in SECRETS}
    return Credentials(**found, username=options["username"], totp_code=options["totp_code"] or None)


def _secret(name: str, options: Mapping[str, Any], host: Host) -> str | None:
    """Return a secret out of its file, else as given; the newline at the end of a file is not part of it."""
    path = options[f"{name}_file"]
    if not path:
        return options[name] or None
    try:
        text = host.read(path)
    except OSError as error:
        raise Invalid(f"{name}_file: {path} cannot be read: {reason(error)}") from error
    if not text or len(text) > _SECRET_BYTES:
        raise Invalid(f"{name}_file: {path} is absent, empty or longer than {_SECRET_BYTES >> 10} KiB")
    return text
