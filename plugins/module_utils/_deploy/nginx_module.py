# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The options and the answer of the ``nginx_front`` module."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from .._core.converge import Findings, Impossible, Invalid, converge, exit_arguments
from .._core.module import Answer
from .._core.names import path_fault
from .._core.system import Host
from .nginx_config import Build, Front, endpoint_of, render
from .nginx_front import NginxFront, build

OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "renewed", "absent"], "default": "present"},
    "config": {"type": "path", "default": "/etc/tripod/nginx/nginx.conf"},
    "addresses": {"type": "list", "elements": "str", "default": ["127.0.0.1"]},
    "port": {"type": "int", "default": 443},
    "api_port": {"type": "int", "default": 8443},
    "redirect_port": {"type": "int", "default": 0},
    "certificate": {"type": "path"},
    "key": {"type": "path", "no_log": False},
    "web_address": {"type": "str", "default": "127.0.0.1"},
    "web_port": {"type": "int", "default": 3000},
    "backend_address": {"type": "str", "default": "127.0.0.1"},
    "backend_port": {"type": "int", "default": 5000},
    "backend_authority": {"type": "str", "default": ""},
    "backend_name": {"type": "str", "default": "flask-backend"},
    "secret_file": {"type": "path", "no_log": False},
    "trusted_proxies": {"type": "list", "elements": "str", "default": []},
    "hsts": {"type": "int", "default": 31536000},
    "connection_life": {"type": "int", "default": 15},
    "at_once": {"type": "int", "default": 128},
}
_PORTS = ("port", "api_port", "redirect_port", "web_port", "backend_port")
_OPTIONAL = ("api_port", "redirect_port")
_RANGES = {"hsts": (0, 63072000), "connection_life": (1, 3600), "at_once": (1, 4096)}
_FILES = ("certificate", "key", "secret_file", "backend_authority")


def faults(options: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> Findings:
    """Return every reason why options cannot be a configuration.

    Args:
        options: The options, or some of them.
        variables: The operator's names for them, where these are not the options' own.
    """
    called = {**dict(zip(OPTIONS, OPTIONS)), **(variables or {})}
    wrong = Findings()
    if not options.get("addresses", True):
        wrong.add(f"{called['addresses']} is empty, so nobody could reach it; name one, such as 127.0.0.1")
    for address in options.get("addresses", ()):
        if not _is_address(address):
            wrong.add(f"{called['addresses']}: {address!r} is no address; a name may mean several")
    for network in options.get("trusted_proxies", ()):
        if not _is_network(network):
            wrong.add(f"{called['trusted_proxies']}: {network!r} is no address and no network")
    listening = [name for name in ("port", "api_port", "redirect_port") if options.get(name)]
    if len({options[name] for name in listening}) < len(listening):
        wrong.add(f"{', '.join(called[name] for name in listening)} are to differ")
    ranges = {name: (0 if name in _OPTIONAL else 1, 65535) for name in _PORTS}
    for name, (low, high) in {**ranges, **_RANGES}.items():
        if name in options and not low <= options[name] <= high:
            wrong.add(f"{called[name]} {options[name]} is outside {low} to {high}")
    for name in _FILES:
        path = options.get(name)
        # nginx would read anything else in a path as words of its own.
        if path and (path_fault(path) or any(letter in path for letter in ";{}\"'$\\ \t\n")):
            wrong.add(f"{called[name]} {path} is not absolute and plain")
    return wrong


def answer(options: Mapping[str, Any], host: Host, check: bool) -> Answer:
    """Bring the front to what is requested."""
    if options["state"] != "present":
        front = NginxFront(options["config"])
        return Answer(exit_arguments(converge(front, options["state"] == "renewed", host, check=check)))
    faults(options).raise_if_any(Invalid, "nginx_front")
    requested = {name: options[name] for name in ("port", "api_port", "redirect_port", "certificate", "key")}

    def configure(built: Build, journal: bool) -> str:
        return render(
            Front(
                **requested,
                addresses=tuple(options["addresses"]),
                web=endpoint_of(options["web_address"], options["web_port"]),
                api=endpoint_of(options["backend_address"], options["backend_port"]),
                api_authority=options["backend_authority"],
                api_name=options["backend_name"],
                secret=_secret(host, options["secret_file"]),
                trusted_proxies=tuple(options["trusted_proxies"]),
                hsts=options["hsts"],
                connection_life=options["connection_life"],
                at_once=options["at_once"],
                journal=journal and host.exists("/dev/log"),
            ),
            built,
        )

    for name in ("certificate", "key"):
        if not host.exists(options[name]):
            raise Impossible(f"{name}: {options[name]} is not there")
    outcome = converge(NginxFront(options["config"], configure), True, host, check=check)
    return Answer(exit_arguments(outcome, http3=build().http3))


def _secret(host: Host, path: str) -> str:
    found = (host.read(path) or "").strip()
    if not found:
        raise Impossible(f"secret_file: {path} holds nothing")
    if any(not (letter.isalnum() or letter in "-_") for letter in found):
        raise Invalid(f"secret_file: {path} holds other characters than letters, digits, - and _")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
