"""Rules that hold for every file of the collection."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "plugins" / "modules").glob("[!_]*.py"))
DOCUMENTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}
CODE_LINES = 150
CORE = ROOT / "plugins" / "module_utils"
FILE_LINES = 400
# Of the core, from the top; arrows go down only, and there is none between packages of one line.
LAYERS = (
    {"_preflight"},
    {"_agent", "_workers"},
    {"_nic"},
    {"_xdp"},
    {"_boot", "_cpu", "_hugepages", "_guard", "_deploy", "_firewall", "_gateway", "_samples"},
    {"_linux", "_policy"},
    {"_core"},
)
# docs/architecture.md has the words of the field that stand for these.
OLD_WORDS = {
    *("wanted", "asked", "told", "advice", "advise", "remembered", "demand", "demands", "demanded"),
    *("replay", "replays", "replayed", "keeper", "settle", "settled", "story"),
}
# The kernel's own words, and systemd's.
FOREIGN_NAMES = {
    "module_utils/_linux/ethtool.py": {"wanted"},
    "module_utils/_linux/ethtool_netlink.py": {"wanted", "_FEATURES_WANTED"},
    "module_utils/_linux/hugetlbfs.py": {"_WANTED_BY"},
}
HEADER = (
    "# Copyright (c) 2026, Tripod contributors",
    "# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
)
# Somebody's home, and where a lock file says a package came from.
HOME = re.compile(r"/(?:root|home)/\.?\w")
RESOLVED = re.compile(r'"resolved"\s*:|--(?:extra-)?index-url')


def documents(path: Path) -> dict[str, str]:
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


def imported(name: str, source: str) -> Iterator[str]:
    """Return what a file of the core imports from the collection, each as a path below the core.

    What leaves the core, or names a package instead of a module, comes with the dots that it has in the source.
    """
    package = PurePosixPath(name).parent.name
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith("ansible_collections"))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if (node.module or "").startswith("ansible_collections"):
                yield str(node.module)
        elif isinstance(node, ast.ImportFrom):
            words = [*([package] if node.level == 1 else []), *filter(None, (node.module or "").split("."))]
            if node.level > 2 or not words:
                yield "." * node.level + ".".join(words)
            elif len(words) == 1:
                yield from (f"{words[0]}/{one.name}.py" for one in node.names)
            else:
                yield "/".join(words) + ".py"


def order_faults(files: dict[str, str]) -> list[str]:
    """Return what breaks the core's order, given its files' sources by path below the core."""
    layer = {package: depth for depth, packages in enumerate(LAYERS) for package in packages}
    faults = []
    graph: dict[str, set[str]] = {}
    for name, source in files.items():
        package = name.partition("/")[0]
        if name.count("/") != 1 or package not in layer:
            faults.append(f"{name} is in no known package")
            continue
        graph[name] = set()
        for target in imported(name, source):
            other = target.partition("/")[0]
            if target not in files:
                faults.append(f"{name} imports {target}, which is no file of the core")
            elif other in layer and other != package and layer[other] <= layer[package]:
                faults.append(f"{name} imports {target}, against the order")
            else:
                graph[name].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        faults.append(f"circle: {' > '.join(error.args[1])}")
    return faults


def old_names(source: str) -> Iterator[str]:
    """Return the names that a source gives to something and that hold a word of OLD_WORDS, or Subject."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = node.name
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.attr
        elif isinstance(node, ast.alias):
            name = node.asname or ""
        else:
            continue
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
        # What a finding or a guard is about is its subject; a thing with a desired state is a resource.
        if "Subject" in words or not OLD_WORDS.isdisjoint(word.lower() for word in words):
            yield name


def core_files() -> dict[str, str]:
    return {
        path.relative_to(CORE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(CORE.rglob("*.py"))
        if path != CORE / "__init__.py"
    }


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_a_shell_around_the_core(path):
    assert code_lines(path) <= CODE_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_documented(path):
    found = documents(path)
    assert found.keys() == DOCUMENTS
    documentation = yaml.safe_load(found["DOCUMENTATION"])
    assert documentation["module"] == path.stem
    assert yaml.safe_load(found["RETURN"])
    tasks = yaml.safe_load(found["EXAMPLES"])
    assert [task for task in tasks if not any(key.count(".") == 2 for key in task)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_has_check_and_diff_mode_in_full(path):
    extended = yaml.safe_load(documents(path)["DOCUMENTATION"])["extends_documentation_fragment"]
    looks_only = "tripod.baremetal.attributes.info" in extended
    assert looks_only or "tripod.baremetal.attributes" in extended
    assert looks_only or not path.stem.endswith("_info")
    attributes = fragment("INFO" if looks_only else "DOCUMENTATION")
    assert attributes["check_mode"]["support"] == "full"
    assert attributes["diff_mode"]["support"] == ("N/A" if looks_only else "full")
    assert re.search(r"supports_check_mode\s*=\s*True", path.read_text(encoding="utf-8"))


def test_arrows_between_packages_of_the_core_go_down_only():
    files = core_files()
    assert len(files) > 50
    assert {name.partition("/")[0] for name in files} == set().union(*LAYERS)
    assert order_faults(files) == []


GOOD = {
    "_core/system.py": "import os",
    "_linux/bpf.py": "from .._core.system import Host",
    "_xdp/plan.py": "from .._linux import bpf",
    "_xdp/program.py": "from . import plan",
    "_nic/state.py": "from .._xdp.plan import Program\nfrom .._core.system import Host",
}


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("_nic/plan.py", "from .._xdp import plan", None),
        ("_core/lock.py", "from .._linux import bpf", "imports _linux/bpf.py, against the order"),
        ("_xdp/limits.py", "from .._nic.state import Nic", "imports _nic/state.py, against the order"),
        ("_xdp/limits.py", "def late():\n    from .._nic import state", "imports _nic/state.py, against the order"),
        ("_boot/driver.py", "from .._cpu.plan import Plan", "imports _cpu/plan.py, against the order"),
        ("_boot/driver.py", "from .. import _linux", "imports .., which is no file"),
        ("_boot/driver.py", "from .._linux import nothing", "imports _linux/nothing.py, which is no file"),
        ("_boot/driver.py", "from ...modules.nic import main", "imports ...modules.nic, which is no file"),
        ("_boot/driver.py", f"from {'ansible_collections'}.tripod.x import y", "imports ansible_collections.tripod.x"),
        ("_boot/driver.py", f"import {'ansible_collections'}.tripod.x", "imports ansible_collections.tripod.x"),
        ("_shop/till.py", "", "is in no known package"),
        ("_nic/deep/plan.py", "", "is in no known package"),
        ("helpers.py", "", "is in no known package"),
        ("_xdp/plan.py", "from .program import attach", "circle: "),
    ],
)
def test_a_breach_of_the_order_is_seen(name, source, fault):
    assert order_faults(GOOD) == []
    faults = order_faults({**GOOD, "_cpu/plan.py": "", name: source})
    assert len(faults) == (0 if fault is None else 1)
    assert fault is None or fault in faults[0]


# A module imports what it needs from the core; nobody imports a module.
OF_A_MODULE = re.compile(r"^\s*(?:from|import)\s+(?:\.+|[\w.]+\.)modules\b|^\s*from\s+\.\w*\s+import", re.MULTILINE)


def test_nobody_imports_a_module():
    folders = [path for path in (ROOT / "plugins").iterdir() if path.is_dir() and path != CORE]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    assert set(MODULES) < set(files)
    assert [named(path) for path in files if OF_A_MODULE.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("from ..modules.nic import main", True),
        ("from ...modules import nic", True),
        (f"import {'ansible_collections'}.tripod.baremetal.plugins.modules.nic", True),
        ("from .nic import main", True),
        ("    from . import nic", True),
        ("from ..module_utils._nic.module import answer", False),
        ("from ansible.module_utils.basic import AnsibleModule", False),
    ],
)
def test_an_import_of_a_module_is_seen(line, seen):
    assert bool(OF_A_MODULE.search(f"import os\n{line}\n")) is seen


def test_files_of_the_core_fit_a_head():
    long = {name: source.count("\n") for name, source in core_files().items() if source.count("\n") > FILE_LINES}
    assert long == {}, f"more than {FILE_LINES} lines: part them along their seams"


def test_names_are_words_of_the_field():
    found = {}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        name = path.relative_to(ROOT / "plugins").as_posix()
        here = {*old_names(path.read_text(encoding="utf-8")), *old_names(f"def {path.stem}(): pass")}
        assert here >= FOREIGN_NAMES.get(name, set()), f"{name}: an exception that nobody needs any more"
        if here - FOREIGN_NAMES.get(name, set()):
            found[name] = sorted(here - FOREIGN_NAMES.get(name, set()))
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("told = 1", ["told"]),
        ("for was_asked in (): pass", ["was_asked"]),
        ("self.advice_text = 1", ["advice_text"]),
        ("def replay_all(told): pass", ["replay_all", "told"]),
        ("class HostKeeper: pass", ["HostKeeper"]),
        ("class Subject: pass", ["Subject"]),
        ("import x as wanted", ["wanted"]),
        ("WANTED = 1", ["WANTED"]),
        ("subject, reported = 'told', {'documents': event.wanted}", []),
        ("DOCUMENTATION = documented = 1", []),
    ],
)
def test_an_old_word_in_a_name_is_seen(source, found):
    assert list(old_names(source)) == found


def test_the_readme_names_every_module_and_role():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    roles = [path.name for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()]
    assert [path.stem for path in MODULES if f"`{path.stem}`" not in readme] == []
    assert [role for role in roles if f"roles/{role}/README.md" not in readme] == []


def test_the_action_group_names_every_module():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["all"] == [path.stem for path in MODULES]


def test_modules_of_an_action_group_share_an_option():
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    options = {}
    for path in MODULES:
        documentation = yaml.safe_load(documents(path)["DOCUMENTATION"])
        extended = documentation["extends_documentation_fragment"]
        options[path.stem] = set(documentation.get("options", {}))
        if "tripod.baremetal.guard" in extended:
            options[path.stem] |= {"guard", "guard_timeout"}
    assert groups.keys() == {"all", "guarded", "xdp"}
    shared = {name: set.intersection(*(options[one] for one in members)) for name, members in groups.items()}
    assert shared["guarded"] == {"guard", "guard_timeout", "state"}
    assert "pin_root" in shared["xdp"] or "interface" in shared["xdp"]
    # And no module that has them is left out.
    assert groups["guarded"] == [name for name in options if "guard" in options[name]]
    assert groups["xdp"] == [name for name in options if "pin_root" in options[name] and name != "preflight"]


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


def test_a_name_that_sanity_refuses_is_seen_before_it_runs():
    """Pylint's, in minutes: a variable of a comprehension may not be one underscore."""
    found = []
    for path in tracked():
        if path.suffix != ".py" or (ROOT / "files") in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.comprehension) and isinstance(node.target, ast.Name) and node.target.id == "_":
                found.append(f"{named(path)}:{node.target.lineno}")
    assert found == []
