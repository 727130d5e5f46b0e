"""Run ``ansible-test sanity`` so that it needs a package index and nothing else, and writes below .cache only."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .console import Failure
from .paths import CACHE, ROOT, VENV, environment
from .run import logged

HOME = CACHE / "ansible-test"


def sanity(copy: Path, log: str, venv: Path = VENV) -> str:
    """Run every sanity test that applies to an exported collection.

    Args:
        copy: What ``collection.export`` returned.
        log: The name of the log.
        venv: The environment with the ansible-core to run it of.

    Returns:
        ansible-test's output.
    """
    _refuse_ignores(copy)
    _provide_pip(venv)
    version = next(venv.glob("lib/python3.*")).name.removeprefix("python")
    command: list[str | Path] = [
        venv / "bin" / "ansible-test",
        "sanity",
        "--local",
        "--python",
        version,
        "--color",
        "no",
    ]
    # The services are not Ansible code; their own test stages lint them.
    command += ["--exclude", "files/services/"]
    child = environment() | {"HOME": str(HOME), "VIRTUAL_ENV": str(venv)}
    child["PATH"] = child["PATH"].replace(str(VENV / "bin"), str(venv / "bin"), 1)
    # ansible-test sets its own; a configuration given by the environment would fail its check.
    child.pop("ANSIBLE_CONFIG")
    return logged(log, command, cwd=copy, env=child)


def tests_run(output: str) -> list[str]:
    """Return the names of the sanity tests that an output says were run."""
    return re.findall(r'^Running sanity test "([^"]+)"', output, re.MULTILINE)


def not_run(output: str) -> list[str]:
    """Return ansible-test's own words for each test that it left out."""
    return re.findall(r"^WARNING: ((?:Skipping|.*[Ss]kipped).*)$", output, re.MULTILINE)


def _refuse_ignores(copy: Path) -> None:
    for file in sorted((copy / "tests" / "sanity").glob("ignore-*.txt")):
        if file.read_text(encoding="utf-8").strip():
            raise Failure(f"tests/sanity/{file.name} is not empty: mend what it ignores, and empty it")


def _provide_pip(venv: Path) -> None:
    version = _pip_version(venv)
    cache = HOME / ".ansible" / "test" / "cache"
    stand_in = cache / f"get_pip_{version.replace('.', '_')}.py"
    cache.mkdir(parents=True, exist_ok=True)
    if not list(cache.glob(f"pip-{version}-*.whl")):
        pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        logged("sanity-pip", [*pip, "--dest", cache, f"pip=={version}"])
    shutil.copyfile(ROOT / "tools" / "get_pip.py", stand_in)
    # ansible-test hands its children few variables, so what pip was told by the environment goes into its file.
    told = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment().items()
        if name.startswith("PIP_")
    }
    configuration = HOME / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    configuration.write_text(
        "[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(told.items())), encoding="utf-8"
    )
    os.chmod(configuration, 0o600)  # An index address may carry credentials.


def _pip_version(venv: Path) -> str:
    # The version is ansible-test's own choice and differs between ansible-core's releases.
    source = next(venv.glob("lib/python3.*/site-packages/ansible_test/_internal/python_requirements.py"))
    found = re.search(r"^        pip='([\d.]+)',$", source.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise Failure(f"{source} no longer names pip's version as tools/sanity.py reads it: adapt _pip_version there")
    return found[1]
