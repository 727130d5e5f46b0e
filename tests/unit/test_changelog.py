"""The changelog says of every component that users meet that it changed, and names what a release brought."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from tools import changes

ROOT = Path(__file__).resolve().parents[2]
FRAGMENTS = sorted((ROOT / "changelogs" / "fragments").glob("*.yml"))
CHANGED = changes.changed(changes.released(), changes.of_checkout())
CHANGELOG = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))
IMPORT = re.compile(r"module_utils\.(_\w+)")


@cache
def entries() -> str:
    """Return all that the fragments say."""
    content = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FRAGMENTS]
    return "\n".join(" ".join(entry.split()) for one in content for kind in one.values() for entry in kind)


def names(component: str) -> list[str]:
    """Return the words by which users know a component; for a part of the core, its modules."""
    place, _slash, name = component.rpartition("/")
    if place != "plugins/module_utils":
        stem = name.removesuffix(".py").removesuffix(".yml")
        return [stem, "roles and playbooks"] if place == "playbooks" else ["XDP program"] if stem == "bpf" else [stem]
    users = [
        path.stem
        for path in (ROOT / "plugins").glob("*/*.py")
        if name in IMPORT.findall(path.read_text(encoding="utf-8"))
    ]
    # All of it is in the agent as well.
    return [*users, "tripod-host", "all modules"]


def test_there_are_fragments_where_anything_changed_since_the_release() -> None:
    assert not CHANGED or FRAGMENTS, "changelogs/fragments is empty, and these changed: " + ", ".join(CHANGED)


@pytest.mark.parametrize("component", CHANGED or [pytest.param(None, id="nothing changed")])
def test_a_component_that_changed_is_named_in_a_fragment(component: str | None) -> None:
    said = entries()
    assert component is None or any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) for name in names(component)), (
        f"{component} changed since the last release: say what users meet in changelogs/fragments, "
        f"with one of the names {', '.join(names(component or ''))}"
    )


def test_a_change_is_seen() -> None:
    before = changes.digests([("roles/nic/tasks/main.yml", "a"), ("plugins/module_utils/_nic/plan.py", "b")])
    after = changes.digests([("roles/nic/tasks/main.yml", "c"), ("plugins/modules/nic.py", "d")])
    assert changes.changed(before, after) == ["plugins/module_utils/_nic", "plugins/modules/nic.py", "roles/nic"]
    assert changes.component("roles/nic/README.md") is None
    assert changes.component("files/services/go-backend/internal/a_test.go") is None
    assert changes.component("tests/unit/test_changelog.py") is None


def test_roles_and_playbooks_are_in_the_changelog_of_their_release() -> None:
    listed = {
        (kind, one["name"]): version
        for version, release in CHANGELOG["releases"].items()
        for kind, objects in release.get("objects", {}).items()
        for one in objects
    }
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
        role, version = path.parts[-3], entry["version_added"]
        if version in CHANGELOG["releases"]:
            assert listed.get(("role", role)) == version
