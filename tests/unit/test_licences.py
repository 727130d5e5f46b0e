"""Who holds the rights in what, and under which licence, as the REUSE tool reads it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HOLDER = "Tripod contributors"
# The kernel takes a program's helpers for GPL-compatible ones only, and its headers are under version 2.
LICENCES = {
    path.relative_to(ROOT).as_posix(): "GPL-2.0-or-later"
    for suffix in ("c", "h")
    for path in (ROOT / "files" / "bpf").glob(f"*.{suffix}")
}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    command = [sys.executable, "-m", "reuse", "--root", str(ROOT), "lint", "--json"]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout))


def test_every_file_has_a_licence_whose_text_is_here(report: dict[str, Any]) -> None:
    assert report["summary"]["compliant"], report["non_compliant"]


def test_every_notice_names_the_contributors_and_nobody_else(report: dict[str, Any]) -> None:
    holders = {
        re.sub(r"^(SPDX-FileCopyrightText:|Copyright \(C\)) \d{4}", "", notice["value"]).strip()
        for file in report["files"]
        for notice in file["copyrights"]
    }
    assert holders == {HOLDER}
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    metas = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob("roles/*/meta/main.yml"))]
    assert {*galaxy["authors"], *(meta["galaxy_info"]["author"] for meta in metas)} == {HOLDER}


def test_a_licence_other_than_the_collections_is_one_that_is_known_here(report: dict[str, Any]) -> None:
    others = {
        file["path"]: expression["value"]
        for file in report["files"]
        for expression in file["spdx_expressions"]
        if expression["value"] != "GPL-3.0-or-later"
    }
    assert others == LICENCES


def test_the_licence_at_the_door_is_the_one_among_the_licences() -> None:
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "LICENSES" / "GPL-3.0-or-later.txt").read_bytes()
