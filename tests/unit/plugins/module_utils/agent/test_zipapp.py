"""The agent's archive is the same for everybody, holds all that its commands import, and runs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.zipapp import build, sources, version
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible

SOURCES = Path(__file__).resolve().parents[5] / "plugins" / "module_utils"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agent") / "tripod-host"
    path.write_bytes(build(sources(), sys.executable))
    path.chmod(0o755)
    return path


def test_the_same_sources_give_the_same_bytes():
    first = {"_agent/cli.py": b"a", "_core/b.py": b"b"}
    second = dict(reversed(first.items()))
    assert build(first, "/usr/bin/python3") == build(second, "/usr/bin/python3")
    assert version(first) != version({**first, "_core/b.py": b"c"})


def test_the_sources_are_the_files_of_the_collection():
    found = sources()
    assert found == {name: (SOURCES / name).read_bytes() for name in found}
    agent = {f"_agent/{name}.py" for name in ("cli", "reapply", "supervisor", "watch")}
    assert agent | {"_core/converge.py"} <= found.keys()


def resolved(path: str, node: ast.ImportFrom) -> set[str]:
    """Return the paths of the modules that a relative import of a source names."""
    here = ["tripod_host", *path.split("/")[:-1]]
    base = [*here[: len(here) - node.level + 1], *filter(None, (node.module or "").split("."))][1:]
    places = ["/".join([*base, alias.name]) for alias in node.names] if len(base) < 2 else ["/".join(base)]
    return {f"{place}.py" for place in places}


def test_everything_that_a_source_imports_is_there():
    found = sources()
    imported = {
        module
        for path, content in found.items()
        for node in ast.walk(ast.parse(content))
        if isinstance(node, ast.ImportFrom) and node.level
        for module in resolved(path, node)
    }
    packages = {f"{path.partition('/')[0]}/__init__.py" for path in found}
    assert imported | packages | {"_agent/cli.py"} == found.keys()


def test_the_agent_needs_nothing_beyond_the_standard_library():
    imported = {
        name.partition(".")[0]
        for content in sources().values()
        for node in ast.walk(ast.parse(content))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


def test_a_source_that_is_missing_is_reported(tmp_path):
    with pytest.raises(Impossible, match=r"holds no _agent/nothing\.py: install the collection again"):
        sources("_agent/nothing.py")


def test_the_sources_are_found_in_an_archive_too(tmp_path):
    # That is how Ansible ships a module with what it imports.
    package = ["ansible_collections", "tripod", "baremetal", "plugins", "module_utils"]
    payload = tmp_path / "payload.zip"
    with zipfile.ZipFile(payload, "w") as archive:
        for depth in range(1, len(package) + 1):
            archive.writestr("/".join([*package[:depth], "__init__.py"]), "")
        for name, content in sources().items():
            archive.writestr("/".join([*package, name]), content)
        archive.write(SOURCES / "_agent" / "zipapp.py", "/".join([*package, "_agent", "zipapp.py"]))
    code = f"import {'.'.join(package)}._agent.zipapp as z; print(z.version(z.sources()), z.__file__)"
    said = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(payload)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[0] == version(sources())
    assert said[1].startswith(str(payload))


def test_the_archive_runs_and_says_its_version(agent):
    said = subprocess.run([agent, "--version"], capture_output=True, text=True, check=True, env={}).stdout
    assert said == f"tripod-host {version(sources())}\n"
    unknown = subprocess.run([agent, "sing"], capture_output=True, text=True, check=False)
    assert (unknown.returncode, "invalid choice: 'sing'" in unknown.stderr) == (2, True)


@pytest.mark.parametrize("command", ["apply", "status", "diff", "watch", "keep"])
def test_every_command_explains_itself(agent, command):
    said = subprocess.run([agent, command, "--help"], capture_output=True, text=True, check=True, env=os.environ).stdout
    assert said.startswith(f"usage: tripod-host {command}")
