"""Rules that hold for every file of the collection."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "plugins" / "modules").glob("[!_]*.py"))
DOCUMENTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
CODE_LINES = 150
HEADER = (
    "# Copyright (c) 2026, Tripod contributors",
    "# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)
# Somebody's home, and where a lock file says a package came from.
HOME = re.compile(r"/(?:root|home)/\.?\w")
RESOLVED = re.compile(r'"resolved"\s*:|--(?:extra-)?index-url')


def state_files(path: Path) -> dict[str, str]:
    return {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in DOCUMENTS
    }


def code_lines(path: Path) -> int:
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id in DOCUMENTS for t in node.targets):
            assert node.end_lineno is not None
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def fragment(name: str) -> dict[str, Any]:
    tree = ast.parse((ROOT / "plugins" / "doc_fragments" / "attributes.py").read_text(encoding="utf-8"))
    fields = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    texts = {
        field.targets[0].id: ast.literal_eval(field.value)
        for field in fields
        if isinstance(field, ast.Assign) and isinstance(field.targets[0], ast.Name)
    }
    return yaml.safe_load(texts[name])["attributes"]


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_a_shell_around_the_core(path):
    assert code_lines(path) <= CODE_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_documented(path):
    found = state_files(path)
    assert found.keys() == DOCUMENTS
    documentation = yaml.safe_load(found["DOCUMENTATION"])
    assert documentation["module"] == path.stem
    assert yaml.safe_load(found["RETURN"])
    tasks = yaml.safe_load(found["EXAMPLES"])
    assert [task for task in tasks if not any(key.count(".") == 2 for key in task)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_has_check_and_diff_mode_in_full(path):
    extended = yaml.safe_load(state_files(path)["DOCUMENTATION"])["extends_documentation_fragment"]
    looks_only = "tripod.baremetal.attributes.info" in extended
    assert looks_only or "tripod.baremetal.attributes" in extended
    assert looks_only or not path.stem.endswith("_info")
    attributes = fragment("INFO" if looks_only else "DOCUMENTATION")
    assert attributes["check_mode"]["support"] == "full"
    assert attributes["diff_mode"]["support"] == ("N/A" if looks_only else "full")
    assert re.search(r"supports_check_mode\s*=\s*True", path.read_text(encoding="utf-8"))


def test_the_readme_tells_of_every_module_and_role():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    roles = [path.name for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()]
    assert [path.stem for path in MODULES if f"`{path.stem}`" not in readme] == []
    assert [role for role in roles if f"roles/{role}/README.md" not in readme] == []


def test_the_action_group_names_every_module():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["all"] == [path.stem for path in MODULES]


def test_plugins_are_under_the_licence_of_the_collection():
    bare = []
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and not set(HEADER) <= set(lines[:4]):  # ansible-test wants package files empty.
            bare.append(named(path))
    assert bare == []


def test_the_licence_is_the_one_that_galaxy_yml_names():
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["license"] == ["GPL-3.0-or-later"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.split()[:6] == ["GNU", "GENERAL", "PUBLIC", "LICENSE", "Version", "3,"]


def test_nothing_refers_to_one_machine_or_one_registry():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # Pictures and the like.
        if path != Path(__file__).resolve():
            found += [
                f"{named(path)}: {match.group()}" for pattern in (HOME, RESOLVED) for match in pattern.finditer(text)
            ]
    assert found == []


def test_sanity_ignores_nothing():
    assert [named(path) for path in (ROOT / "tests" / "sanity").glob("ignore-*.txt") if path.read_text().strip()] == []
