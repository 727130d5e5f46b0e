"""Roles are documented by their argument specifications: the READMEs are made from them, and their examples hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tools import role_docs
from tools.paths import ROOT, environment

ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
BY_NAME = {path.name: role_docs.entry_point(path) for path in ROLES}
OPTIONS = {name: option for entry in BY_NAME.values() for name, option in entry["options"].items()}
# Numbers that count nothing, or what their own name says: cores, pages, processes.
PLAIN = {"count", "cores", "cpus", "domain", "limit", "node", "number", "pids", "port", "uid"}


def every_option(options: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, option in options.items():
        yield name, option
        yield from every_option(option.get("options", {}))


def plays(role: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load(BY_NAME[role]["examples"]))


def roles_of(play: Mapping[str, Any]) -> list[str]:
    later = [task.get("ansible.builtin.import_role", {}).get("name") for task in play.get("tasks", [])]
    names = [*(role["role"] for role in play.get("roles", [])), *filter(None, later)]
    return [name.removeprefix(role_docs.COLLECTION) for name in names]


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_a_readme_is_what_the_argument_specification_says(role: Path) -> None:
    assert (role / "README.md").read_text(encoding="utf-8") == role_docs.of(role), "run make docs"


@pytest.mark.parametrize(
    ("marked", "markdown"),
    [
        (
            "C(/etc/tripod), V(absent), E(PWD) and M(community.docker.docker_container)",
            "`/etc/tripod`, `absent`, `PWD` and `community.docker.docker_container`",
        ),
        ("O(nic_guard=never)", "`nic_guard=never`"),
        ("O(tripod.baremetal.nic#module:nics)", "`nics`"),
        ("RV(tripod.baremetal.image_build#module:images)", "`images`"),
        ("P(tripod.baremetal.kernel#role)", "[kernel](../kernel/README.md)"),
        ("P(ansible.builtin.env#lookup)", "`ansible.builtin.env`"),
        ("B(never), I(always), U(https://example.com/)", "**never**, *always*, <https://example.com/>"),
        ("L(the page, https://example.com/)", "[the page](https://example.com/)"),
        ("RAM (all of it) stays RAM(DDR5)", "RAM (all of it) stays RAM(DDR5)"),
    ],
)
def test_markup_becomes_markdown(marked: str, markdown: str) -> None:
    assert role_docs.text(marked) == markdown


def test_a_readme_has_every_part_of_a_specification() -> None:
    entry = {
        "short_description": "Paint the rack",
        "description": ["Paints it.", "In one coat."],
        "examples": "- hosts: all\n",
        "seealso": [
            {
                "plugin": "tripod.baremetal.nic",
                "plugin_type": "role",
                "description": "Comes before, as cables hang there.",
            },
            {"module": "tripod.baremetal.sysctl", "description": "Paints the kernel."},
        ],
        "options": {
            "paint_timeout": {"type": "int", "default": 60, "description": "How long it dries."},
            "paint_coats": {
                "type": "list",
                "elements": "dict",
                "default": [{"colour": "{{ tripod_app_name }}", "thickness": "one tenth of a millimetre"}],
                "description": ["What to paint.", "In order."],
                "options": {
                    "colour": {
                        "type": "str",
                        "required": True,
                        "choices": ["a|b", "red"],
                        "description": "Its colour.",
                    },
                    "gloss": {"type": "bool", "description": "Whether it shines."},
                },
            },
        },
    }
    page = role_docs.readme("paint", entry, ["tripod.baremetal.common"])
    assert page.startswith("<!-- Made by")
    for part in (
        "# tripod.baremetal.paint\n\nPaint the rack.\n\nPaints it.\n\nIn one coat.\n",
        "```yaml\n- hosts: all\n```",
        f"- [nic](../nic/README.md), as cables hang there.\n\n{role_docs.ALONE}\n\n"
        "[common](../common/README.md) comes along by itself.\n",
        "| `paint_timeout` | int, seconds | `60` | How long it dries. |",
        "| `paint_coats` | list of dict | below | What to paint. In order. |",
        '- colour: "{{ tripod_app_name }}"\n    thickness: one tenth of a millimetre\n',
        "### Each entry of `paint_coats`",
        "| `colour` | str | **required** | Its colour. One of `a\\|b`, `red`. |",
        "| `gloss` | bool | none | Whether it shines. |",
        "## See also\n\n- `ansible-doc tripod.baremetal.sysctl`: Paints the kernel.\n",
    ):
        assert part in page
    assert "Nothing." not in page
    assert "Nothing. [common]" in role_docs.readme("paint", {**entry, "seealso": []}, ["tripod.baremetal.common"])
    assert "None of its own." in role_docs.readme("paint", {**entry, "options": {}}, [])


@pytest.mark.parametrize("role", sorted(BY_NAME))
def test_a_number_has_a_unit_or_counts_what_it_is_named_for(role: str) -> None:
    known = PLAIN | set(role_docs.UNITS)
    numbers = [name for name, option in every_option(BY_NAME[role]["options"]) if option["type"] in ("int", "float")]
    assert [name for name in numbers if name.rpartition("_")[2] not in known] == []


@pytest.mark.parametrize("role", sorted(BY_NAME))
def test_an_example_gives_roles_what_they_take(role: str) -> None:
    given = {
        name: value
        for play in plays(role)
        for names in (play.get("vars", {}), *(one.get("vars", {}) for one in play["roles"]))
        for name, value in names.items()
    }
    assert given.keys() <= OPTIONS.keys()
    literal = {name: value for name, value in given.items() if "{{" not in str(value)}
    specification = {
        name: {key: OPTIONS[name][key] for key in ("type", "elements", "choices", "options") if key in OPTIONS[name]}
        for name in literal
    }
    assert ArgumentSpecValidator(specification).validate(literal).error_messages == []


@pytest.mark.parametrize("role", sorted(BY_NAME))
def test_an_example_runs_the_role_after_what_must_come_before(role: str) -> None:
    [play] = plays(role)
    order = roles_of(play)
    # The shared values are seen in whichever role reads them.
    assert role in order or role == "common"
    assert out_of_order(order) == []
    missing = [
        f"{name} without {first}"
        for position, name in enumerate(order)
        for first in always_before(name)
        if first not in order[:position]
    ]
    assert missing == []


def always_before(role: str) -> list[str]:
    """Return the roles that must come before, without those that do so under a condition."""
    on_condition = tuple(f"{role_docs.BEFORE}{word}" for word in ("unless", "where"))
    seealso = [item for item in BY_NAME[role].get("seealso", []) if not item["description"].startswith(on_condition)]
    return role_docs.predecessors({"seealso": seealso})


def out_of_order(order: list[str]) -> list[str]:
    return [
        f"{name} before {first}"
        for position, name in enumerate(order)
        for first in role_docs.predecessors(BY_NAME[name])
        if first in order[position:]
    ]


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_a_playbook_runs_roles_after_what_must_come_before(playbook: Path) -> None:
    listed = yaml.safe_load(playbook.read_text(encoding="utf-8"))
    assert [out_of_order(roles_of(play)) for play in listed] == [[]] * len(listed)


def test_examples_are_playbooks(tmp_path: Path) -> None:
    for role in BY_NAME:
        (tmp_path / f"{role}.yml").write_text(BY_NAME[role]["examples"], encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--syntax-check", "-i", "tripod,"]
    done = subprocess.run(
        [*command, *sorted(map(str, tmp_path.glob("*.yml")))],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
