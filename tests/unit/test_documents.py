"""The documents are true: links lead somewhere, and what the architecture's page names is there."""

from __future__ import annotations

import ast
import re
import subprocess
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "plugins" / "module_utils"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
# Where messages for operators come from.
SOURCES = ("plugins", "roles", "playbooks", "files", "tools")
# A search that shows more files than this leads nowhere.
FILES_OF_A_SEARCH = 3

FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
# [text](target "title"), also where the text is a picture or holds code.
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\](?:\([^)]*\))?)*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)>?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)", re.MULTILINE)
HTML_TARGET = re.compile(r"<(?:a\s[^>]*href|img\s[^>]*src)=\"([^\"]+)\"")
HTML_ANCHOR = re.compile(r"<[^>]+\s(?:id|name)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# A function is written with its parentheses: converge(), Ethtool.set(), answer(options, host, check).
FUNCTION = re.compile(r"((?:\w+\.)*\w+)\([\w, ]*\)")
PLACEHOLDER = re.compile(r"<[a-z]+>")


def tracked(*patterns: str) -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]


DOCUMENTS = tracked("*.md")


def prose(text: str) -> str:
    """Return a document without its blocks of code and its code spans, in which a link is none."""
    return CODE.sub("", FENCE.sub("", text))


def targets(text: str) -> set[str]:
    """Return what a document links to."""
    bare = prose(text)
    return {target for pattern in (LINK, PICTURE, REFERENCE, HTML_TARGET) for target in pattern.findall(bare)}


def anchors(text: str) -> set[str]:
    """Return the anchors of a document, as GitHub makes them of headings, and its own."""
    bare = FENCE.sub("", text)
    made: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in HEADING.findall(bare):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words.replace("\\", "")).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made | set(HTML_ANCHOR.findall(bare))


def broken(document: Path, text: str) -> Iterator[str]:
    """Yield every relative link that leads nowhere, and why."""
    for target in sorted(targets(text)):
        if SCHEME.match(target):
            continue
        path, _hash, anchor = urllib.parse.unquote(target).partition("#")
        place = (document.parent / path).resolve() if path else document
        if path.startswith("/") or not place.is_relative_to(ROOT):
            yield f"{target}: leads out of the repository"
        elif not place.exists():
            yield f"{target}: there is no such file"
        elif anchor and place.suffix == ".md":
            there = text if place == document else place.read_text(encoding="utf-8")
            if anchor not in anchors(there):
                yield f"{target}: {place.name} has no such heading"
        elif anchor:
            yield f"{target}: only headings of documents stay where they are"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name):
    path = ROOT / name
    assert list(broken(path, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a](docs/nowhere.md)", "docs/nowhere.md: there is no such file"),
        ("[`code`](docs/nowhere.md)", "docs/nowhere.md: there is no such file"),
        ("[![b](docs/no.svg)](README.md)", "docs/no.svg: there is no such file"),
        ("[a][1]\n\n[1]: docs/nowhere.md", "docs/nowhere.md: there is no such file"),
        ('<a href="docs/nowhere.md">a</a>', "docs/nowhere.md: there is no such file"),
        ("[a](README.md#no-such-heading)", "README.md#no-such-heading: README.md has no such heading"),
        ("# One\n[a](#two)", "#two: README.md has no such heading"),
        ("[a](../elsewhere.md)", "../elsewhere.md: leads out of the repository"),
        ("[a](tools/check.py#L5)", "tools/check.py#L5: only headings of documents stay where they are"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(text, complaint):
    assert list(broken(ROOT / "README.md", text)) == [complaint]


def test_what_is_no_link_into_the_repository_is_left_alone():
    fenced = "```\n[a](nowhere.md)\n```\n`[a](nowhere.md)`"
    text = f"# One `two`: three\n{fenced} [b](https://example.com/c) [d](#one-two-three)"
    assert list(broken(ROOT / "README.md", text)) == []


# What docs/architecture.md names.


def sections() -> dict[str, str]:
    """Return the text below each heading of the second level of the architecture's page."""
    parts = re.split(r"^## (.+)$", ARCHITECTURE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def items(section: str) -> list[str]:
    """Return the numbered items of a section."""
    return [item for item in re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:] if item]


@cache
def repository() -> tuple[str, ...]:
    files = tracked()
    directories = {str(parent) for name in files for parent in Path(name).parents}
    return (*files, *sorted(directories - {"."}))


def is_path(token: str) -> bool:
    """Whether a code span of that page is a path of the repository: one of the core's, or from the root."""
    if " " in token or "(" in token:
        return False
    in_core = token.startswith("_") and ("/" in token or token.endswith(".py"))
    return in_core or token.split("/")[0] in tops()


@cache
def tops() -> frozenset[str]:
    return frozenset(name.split("/")[0] for name in tracked())


def found(token: str) -> list[Path]:
    """Return the files and directories that a path of that page stands for."""
    pattern = PLACEHOLDER.sub("*", token.rstrip("/"))
    full = f"plugins/module_utils/{pattern}" if pattern.startswith("_") else pattern
    return [ROOT / name for name in repository() if fnmatch(name, full)]


@cache
def defined(path: Path) -> frozenset[str]:
    """Return the functions and classes that a Python file defines, methods by their class's name too."""
    names = set()

    def walk(node: ast.AST, above: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.update({child.name, f"{above}{child.name}"})
                walk(child, f"{above}{child.name}.")
            else:
                walk(child, above)

    walk(ast.parse(path.read_text(encoding="utf-8")), "")
    return frozenset(names)


def missing(item: str) -> Iterator[str]:
    """Yield what an item names in code and none of the files that it names has."""
    linked = [(ARCHITECTURE.parent / target).resolve() for target in LINK.findall(item) if not SCHEME.match(target)]
    tokens = CODE.findall(LINK.sub("", item))
    paths = [token for token in tokens if is_path(token)]
    yield from (f"{path}: there is no such file" for path in paths if not found(path))
    files = [path for path in (*linked, *(one for path in paths for one in found(path))) if path.is_file()]
    if not files:
        yield "it names no file"
    for token in tokens:
        if token in paths:
            continue
        function = FUNCTION.fullmatch(token)
        if function:
            if not any(function[1] in defined(path) for path in files if path.suffix == ".py"):
                yield f"{token}: defined in none of {', '.join(path.name for path in files)}"
        elif not any(token in path.read_text(encoding="utf-8") for path in files):
            yield f"{token}: in none of {', '.join(path.name for path in files)}"


TRAVEL = items(sections()["Where a setting travels"])


def test_the_travel_is_told_from_the_inventory_to_the_boot():
    told = [re.match(r"\*\*(\w[\w ]*)\.\*\*", item) for item in TRAVEL]
    assert all(told)
    names = [match[1] for match in told if match]
    assert (names[0], names[-1]) == ("Inventory", "Boot")
    assert len(names) > 10


@pytest.mark.parametrize("item", TRAVEL, ids=lambda item: item[2:12])
def test_what_the_travel_names_is_there(item):
    assert list(missing(item)) == []


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ("`_core/nowhere.py`", "_core/nowhere.py: there is no such file"),
        ("`sing()` in `_core/converge.py`", "sing(): defined in none of converge.py"),
        # Called there, not defined.
        ("`OrderedDict()` in `_core/converge.py`", "OrderedDict(): defined in none of converge.py"),
        ("`Change.sing()` in `_core/converge.py`", "Change.sing(): defined in none of converge.py"),
        ("`nowhere` in [it](../plugins/modules/nic.py)", "nowhere: in none of nic.py"),
        ("`anything`", "it names no file"),
    ],
)
def test_what_is_not_there_is_found(item, complaint):
    assert complaint in list(missing(item))


def test_the_line_that_writes_a_ring_size_is_two_hops_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert any(target.startswith("docs/architecture.md#where-a-setting-travels") for target in targets(readme))
    first = sections()["Where a setting travels"].partition("\n1. ")[0]
    assert list(missing(first.replace("`nic_interfaces[].rings.rx`", ""))) == []
    assert "`Ethtool.set()`" in first


def test_every_path_of_the_architecture_exists():
    text = FENCE.sub("", ARCHITECTURE.read_text(encoding="utf-8"))
    paths = {token for token in CODE.findall(text) if is_path(token)}
    assert len(paths) > 40
    assert [path for path in sorted(paths) if not found(path)] == []


def test_every_function_of_the_architecture_is_defined_in_the_core_or_a_module():
    text = FENCE.sub("", ARCHITECTURE.read_text(encoding="utf-8"))
    named = {match[1] for token in CODE.findall(text) if (match := FUNCTION.fullmatch(token))}
    known = {name for path in (ROOT / "plugins").rglob("*.py") for name in defined(path)}
    assert len(named) > 20
    assert sorted(named - known) == []


def test_the_picture_shows_every_package_of_the_core():
    shown = set(re.findall(r"(?<!\S)_\w+(?=/)", sections()["The packages"].split("```")[1]))
    assert shown == {path.parent.name for path in CORE.glob("*/__init__.py")}


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


MESSAGES = rows(sections()["From an error message to its source"])


def test_ten_messages_and_more_are_tried():
    assert len(MESSAGES) >= 10


@pytest.mark.parametrize(("message", "words", "place"), MESSAGES, ids=lambda cell: cell.strip("`")[:40])
def test_a_message_is_one_search_away_from_its_source(message, words, place):
    searched = words.strip("`")
    assert searched in message
    command = ["git", "grep", "--untracked", "-lF", searched, "--", *SOURCES]
    hits = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    [source] = found(place.strip("`"))
    assert str(source.relative_to(ROOT)) in hits
    assert len(hits) <= FILES_OF_A_SEARCH


# What other documents promise.


def test_the_example_of_a_handler_is_the_handler():
    source = (ROOT / "files/services/go-backend/internal/handlers/reflect.go").read_text(encoding="utf-8")
    page = (ROOT / "docs/handlers.md").read_text(encoding="utf-8")
    assert f"```go\n{source}```" in page
    code = [line for line in source.splitlines() if line.strip()]
    assert len(code) <= 40


def test_the_readme_says_what_the_collection_says_of_itself():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    preflight = yaml.safe_load((ROOT / "roles" / "preflight" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    modules = yaml.safe_load((ROOT / "tests" / "config.yml").read_text(encoding="utf-8"))["modules"]
    pinned = re.search(r"^ansible-core==(\d+\.\d+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    assert pinned
    oldest = ".".join(runtime["requires_ansible"].removeprefix(">=").split(".")[:2])
    supported = readme.partition("## Supported systems")[2].partition("\n## ")[0]
    assert f"ansible-core {oldest} or newer" in supported
    assert f"ansible-core {pinned[1]}" in supported
    assert f"Python {modules['python_requires'].removeprefix('>=')} or newer" in supported
    for system in preflight["preflight_distributions"]:
        name, _space, version = system.partition(" ")
        assert re.search(rf"{name.capitalize()}[^|\n]*\b{version}\b", supported)
    assert f"Linux {preflight['preflight_kernel']} or newer" in supported


def test_badges_say_what_the_sources_say():
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    preflight = yaml.safe_load((ROOT / "roles" / "preflight" / "defaults" / "main.yml").read_text(encoding="utf-8"))
    releases = [one.removeprefix("debian ") for one in preflight["preflight_distributions"]]
    oldest = ".".join(runtime["requires_ansible"].removeprefix(">=").split(".")[:2])
    [licence] = galaxy["license"]
    assert badge("licence") == f"licence: {licence}"
    assert badge("ansible-core") == f"ansible-core: {oldest} or newer"
    assert badge("debian") == f"Debian: {' and '.join(releases)}"


def badge(name: str) -> str:
    """Return what a badge says, which its picture and its title must say alike."""
    picture = (ROOT / "docs" / "badges" / f"{name}.svg").read_text(encoding="utf-8")
    [title] = re.findall(r"<title>([^<]+)</title>", picture)
    assert ": ".join(re.findall(r"<text[^>]*>([^<]+)</text>", picture)) == title
    return title


def test_every_folder_of_tests_is_explained():
    told = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    folders = sorted({name.split("/")[1] for name in tracked("tests") if name.count("/") > 1})
    assert [folder for folder in folders if f"`{folder}`" not in told] == []


def test_every_target_of_make_is_explained():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    stages = re.findall(r"^(test[a-z-]*|bench):.*##", makefile, re.MULTILINE)
    told = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert stages
    assert [target for target in stages if f"`make {target}`" not in told] == []
