"""The pins are what `make requirements` makes of the names: nothing lacks, and nothing stayed that nobody needs."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOME = Path(__file__).resolve().parent.parent


def named(source: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in (HOME / source).read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def needed(wanted: list[Requirement]) -> dict[str, str]:
    """Return name and version of all that is installed for these."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        one = wanted.pop()
        name, extras = str(canonicalize_name(one.name)), frozenset(one.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        package = distribution(name)
        assert package.version in one.specifier, one
        found[name] = package.version
        for further in map(Requirement, package.requires or []):
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
                wanted.append(further)
    return found


def pinned(file: str) -> dict[str, str]:
    text = (HOME / file).read_text()
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE))
    assert len(pins) == sum("==" in line for line in text.splitlines()), "each has a hash"
    return pins


def test_what_ships_is_what_the_service_needs() -> None:
    assert pinned("requirements.txt") == needed(named("requirements.in"))


def test_what_the_tests_add_agrees_with_what_ships() -> None:
    ships, tests = pinned("requirements.txt"), pinned("requirements-test.txt")
    assert tests == needed(named("requirements-test.in"))
    assert {name: ships.get(name, version) for name, version in tests.items()} == tests
