# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: what can be known on the control node is checked there, before any host is met; see the module's page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as core_version

from ..module_utils._core.converge import CoreError
from ..module_utils._deploy.data_planes import OPTION as DATA_PLANES
from ..module_utils._preflight import clients, data_planes, front, gateway, published
from ..module_utils._preflight.arguments import faults
from ..module_utils._preflight.policies import check_tests, compiled, unassigned
from ..module_utils._preflight.workers import malformed
from ..module_utils._xdp.policy_entries import parse_entries, read_file
from ..module_utils._xdp.policy_lists import read_text

try:
    from ansible.template import trust_as_template
except ImportError:  # before ansible-core 2.19 every text may be a template

    def trust_as_template(value: str) -> str:
        """Return the text as it is."""
        return value


ROLES = Path(__file__).resolve().parents[2] / "roles"
LOCALHOST = "localhost"


def _options() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        yield from entry["options"].items()


def _defaults(role: str) -> dict[str, Any]:
    text = (ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8")
    return {name: _as_template(value) for name, value in yaml.safe_load(text).items()}


def _as_template(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_template(one) for one in value]
    if isinstance(value, dict):
        return {key: _as_template(one) for key, one in value.items()}
    return trust_as_template(value) if isinstance(value, str) else value


def _readable(path: str) -> bool:
    return os.access(os.path.expanduser(path), os.R_OK)


class ActionModule(ActionBase):
    """Fails with everything that is wrong, each in words that name the variable."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset({"builder"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check, and change nothing."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = task_vars or {}
        builder = self._task.args.get("builder") or {}
        reasons = [*self._of_control_node(given, builder), *self._of_arguments(given)]
        if reasons:
            listed = "\n".join(f"- {reason}" for reason in reasons)
            result.update(failed=True, msg=f"nothing was changed, on no host:\n{listed}")
        return {**result, "changed": False, "reasons": reasons}

    def _of_control_node(self, given: Mapping[str, Any], builder: Mapping[str, Any]) -> Iterator[str]:
        if core_version.startswith(("2.17.", "2.18.")) and constants.config.get_config_value("DEFAULT_JINJA2_NATIVE"):
            yield (
                f"jinja2_native is on, and with it ansible-core {core_version} makes numbers of texts such as 0123: "
                "set it to false (in ansible.cfg, or ANSIBLE_JINJA2_NATIVE), or take ansible-core 2.19"
            )
        here = given.get("hostvars", {}).get(LOCALHOST) if LOCALHOST in given.get("groups", {}).get("all", ()) else None
        if here is not None:
            connection = here.get("ansible_connection") or context.CLIARGS.get("connection") or "ssh"
            if str(connection).rpartition(".")[2] not in ("local", "paramiko_ssh") and not here.get("ansible_host"):
                yield (
                    "localhost is in the inventory without ansible_connection: local, so this machine would be reached "
                    f"by {connection}, for building images too: set ansible_connection: local for it, or take it out"
                )
        if not builder:
            return
        if builder.get("failed") or builder.get("unreachable"):
            said = str(builder.get("msg") or builder.get("module_stderr") or "").strip()
            yield (
                f"nobody can become root on the control node, where images are built ({said}): run as root, "
                "give --ask-become-pass, or leave the images out with --skip-tags images"
            )
            return
        facts = builder.get("ansible_facts", {})
        if facts.get("ansible_effective_user_id", facts.get("effective_user_id", 0)) != 0:
            yield "nobody becomes root on the control node, where images are built: run as root, or with become"
        family = facts.get("ansible_os_family", facts.get("os_family"))
        packages = self._value("images_packages", given, ["any"])
        if packages and family not in (None, "Debian"):
            yield (
                f"the control node is a {family} system, and the packages to build images with are Debian's: run it "
                "from a Debian machine, or bring docker and its Python client yourself and set images_packages to []"
            )

    def _of_arguments(self, given: Mapping[str, Any]) -> Iterator[str]:
        wrong: list[str] = []
        unknown: dict[str, str] = {}
        for variable, option in _options():
            if variable not in given:
                continue
            try:
                found = faults(variable, option, self._value(variable, given, None))
            except AnsibleError as error:
                unknown[variable] = str(error)
                continue
            if found:
                wrong.append(variable)
                yield from found
        for variable, said in unknown.items():
            source = str(given[variable])
            # What is made from a wrong variable is not wrong itself. Facts are gathered later, so what depends on them
            # shows where its role begins.
            if not any(name in source for name in wrong) and "ansible_" not in source:
                yield f"{variable} cannot be worked out: {said}"
        if not {"xdp_acl", "xdp_acl_file", "xdp_acl_remote_src"}.intersection([*wrong, *unknown]):
            yield from self._of_policy(given)
        policies = {"xdp_policies", "xdp_policy_remote_src", "xdp_policy_tests", "xdp_interfaces"}
        if not policies.intersection([*wrong, *unknown]):
            yield from self._of_policies(given)
        if "go_backend_workers" not in (*wrong, *unknown):
            workers = self._value("go_backend_workers", given, None) or ()
            yield from (f"go_backend_workers: {reason}" for reason in malformed(workers))
        if not {*published.PLAIN, published.CONSENT}.intersection([*wrong, *unknown]):
            addresses = {name: str(self._value(name, given, "")) for name in published.PLAIN if name in given}
            yield from published.refusals(addresses, boolean(self._value(published.CONSENT, given, False)))
        if not {clients.CLIENTS, clients.SERVICES}.intersection([*wrong, *unknown]):
            yield from self._of_clients(given)
        if DATA_PLANES not in (*wrong, *unknown):
            yield from self._of_data_planes(given)
        if data_planes.APIS not in (*wrong, *unknown):
            yield from data_planes.unreachable(self._value(data_planes.APIS, given, None) or ())
        if not any(name.startswith(("nginx_", "tripod_")) for name in (*wrong, *unknown)):
            yield from self._of_front(given)
        if not any(name.startswith(("marchproxy_", "tripod_")) for name in (*wrong, *unknown)):
            yield from self._of_gateway(given)

    def _of_gateway(self, given: Mapping[str, Any]) -> Iterator[str]:
        # Its play comes last, with the role that has the defaults: too late to refuse anything.
        known = {**_defaults("common"), **_defaults("marchproxy"), **given}
        templar = self._templar.copy_with_new_env(available_variables=known)

        def value(name: str) -> Any:
            variable = f"marchproxy_{name}"
            return templar.template(known[variable]) if variable in known else None

        host = given.get("inventory_hostname", "")
        reached = str(templar.template(given.get("ansible_host") or host))
        try:
            yield from gateway.refusals(host, reached, value, os.environ, _readable)
        except AnsibleError as error:
            yield f"what the gateway is to get cannot be worked out: {error}"

    def _of_clients(self, given: Mapping[str, Any]) -> Iterator[str]:
        known = {**_defaults("common"), **_defaults("pki"), **_defaults("go_backend"), **given}
        templar = self._templar.copy_with_new_env(available_variables=known)
        try:
            named, served = (
                [one["service"] for one in templar.template(known[variable]) or ()]
                for variable in (clients.CLIENTS, clients.SERVICES)
            )
        except AnsibleError:
            return  # made from a variable that is refused itself
        yield from clients.refusals(named, served)

    def _of_data_planes(self, given: Mapping[str, Any]) -> Iterator[str]:
        requested = self._value(DATA_PLANES, given, None) or ()
        hosts = given.get("hostvars", {})
        # What hostvars gives is worked out already.
        named = {name: hosts[name] for name in {one["name"] for one in requested} if name in hosts}
        yield from data_planes.refusals(str(given.get("inventory_hostname", "")), requested, named)

    def _of_front(self, given: Mapping[str, Any]) -> Iterator[str]:
        known = {**_defaults("common"), **_defaults("nginx"), **given}
        templar = self._templar.copy_with_new_env(available_variables=known)
        try:
            if not boolean(templar.template(known[front.SWITCH])):
                return
            names = (*front.VARIABLES.values(), front.NAMES)
            values = {variable: templar.template(known[variable]) for variable in names}
        except AnsibleError:
            return  # made from what is known only later
        yield from front.refusals(values)

    def _of_policy(self, given: Mapping[str, Any]) -> Iterator[str]:
        acl = self._value("xdp_acl", given, None) or ()
        source = self._value("xdp_acl_file", given, "")
        try:
            lines: list[Any] = []
            if source and not boolean(self._value("xdp_acl_remote_src", given, False)):
                lines = read_file(self._find_needle("files", source), "xdp_acl_file")
            parse_entries(acl, lines)
        except CoreError as error:
            for said in error.facts.get("reasons") or [str(error)]:
                yield said.replace("entries[", "xdp_acl[")
        except AnsibleError as error:
            yield f"xdp_acl_file: {error}"

    def _of_policies(self, given: Mapping[str, Any]) -> Iterator[str]:
        policies = self._value("xdp_policies", given, None) or {}
        short = bool(self._value("xdp_acl", given, None) or self._value("xdp_acl_file", given, ""))
        yield from unassigned(self._value("xdp_interfaces", given, None) or (), policies, short)
        remote = boolean(self._value("xdp_policy_remote_src", given, False))
        tests = self._value("xdp_policy_tests", given, None) or ()
        yield from check_tests(tests, policies, None if remote else self._place)

        def read(path: str) -> bytes:
            return b"" if remote else read_text(self._find_needle("files", path), "file")

        for name, document in policies.items():
            try:
                warnings = compiled(name, {} if document is None else document, read).warnings
            except CoreError as error:
                yield from (f"xdp_policies.{name}: {said}" for said in error.facts.get("reasons") or [str(error)])
            except AnsibleError as error:
                yield f"xdp_policies.{name}: {error}"
            else:
                for said in () if remote else warnings:
                    self._display.warning(f"xdp_policies.{name}: {said}")

    def _place(self, path: str) -> str:
        try:
            return str(self._find_needle("files", path))
        except AnsibleError:
            return path  # whoever reads it says so

    def _value(self, variable: str, given: Mapping[str, Any], otherwise: Any) -> Any:
        return self._templar.template(given[variable]) if variable in given else otherwise
