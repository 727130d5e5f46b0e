# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action: what can be known on the control node is checked there, before any host is met; see the module's page."""

from __future__ import annotations

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
from ..module_utils._preflight.arguments import faults
from ..module_utils._xdp.policy_entries import parse_entries, read_file

ROLES = Path(__file__).resolve().parents[2] / "roles"
LOCALHOST = "localhost"


def _options() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        yield from entry["options"].items()


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

    def _value(self, variable: str, given: Mapping[str, Any], otherwise: Any) -> Any:
        return self._templar.template(given[variable]) if variable in given else otherwise
