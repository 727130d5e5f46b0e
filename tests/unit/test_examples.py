"""The examples that operators copy: each is in the README, and gives roles what they take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.support import examples

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {
    name: option
    for path in ROOT.glob("roles/*/meta/argument_specs.yml")
    for name, option in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"].items()
}
# Of an example itself.
OWN = {"two-hosts": {"packet_nic"}}
CHECKED = ("type", "elements", "choices", "options")


def test_the_readme_has_a_command_for_every_example() -> None:
    assert sorted(examples.playbooks()) == examples.NAMES


@pytest.mark.parametrize("name", examples.NAMES)
def test_the_command_is_repeated_where_the_example_is_opened(name: str) -> None:
    """An operator who copied the folder has no README beside it."""
    command = f"ansible-playbook -i hosts.yml {examples.playbooks()[name]}"
    texts = [path.read_text(encoding="utf-8") for path in sorted((examples.FOLDER / name).glob("*.yml"))]
    assert any(line.startswith("#") and command in line for text in texts for line in text.splitlines())


@pytest.mark.parametrize("name", examples.NAMES)
def test_an_example_gives_roles_what_they_take(name: str) -> None:
    for said in examples.variables(name).values():
        given = {key: value for key, value in said.items() if key not in OWN.get(name, set())}
        assert given.keys() <= OPTIONS.keys()
        specification = {key: {part: OPTIONS[key][part] for part in CHECKED if part in OPTIONS[key]} for key in given}
        assert ArgumentSpecValidator(specification).validate(given).error_messages == []


def test_hosts_are_nobodys() -> None:
    hosts = [host for name in examples.NAMES for host in examples.variables(name)]
    assert hosts
    assert [host for host in hosts if not host.endswith(".example.com")] == []
