"""What an image is made of, read from what is in it, and the document that says so."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.sbom import Component, components, document, go
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

# As dpkg 1.22 writes it, and `dpkg-deb --field`, which knows of no status.
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.41-12+deb13u5
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
 .
 Version: not a field

Package: gone
Status: deinstall ok config-files
Version: 1
"""
SERVER = "Package: postgresql-17\nVersion: 17.12-0+deb13u1\nDescription: database\n"
# As pip 25 installs it: the first of a field counts, and the text after the fields does not.
METADATA = """\
Metadata-Version: 2.4
Name: Typing_Extensions
Version: 4.16.0
License-Expression: PSF-2.0

Version: 9
"""
BUNDLE = [{"name": "@types/x", "version": "1.0.0-rc.1", "license": "MIT"}, {"name": "y", "version": "2", "license": ""}]
FILES = {
    "./var/lib/dpkg/status": STATUS,
    "var/lib/dpkg/status.d/postgresql-17": SERVER,
    "opt/tripod/lib/python3.13/site-packages/typing_extensions-4.16.0.dist-info/METADATA": METADATA,
    "opt/tripod/packages.json": json.dumps(BUNDLE),
    "usr/local/bin/entrypoint.sh": "#!/bin/sh\n",
    "etc/status": "Package: elsewhere\nVersion: 1\n",
}
FOUND = [
    Component("deb", "libc6", "2.41-12+deb13u5"),
    Component("deb", "postgresql-17", "17.12-0+deb13u1"),
    Component("npm", "@types/x", "1.0.0-rc.1", "MIT"),
    Component("npm", "y", "2"),
    Component("pypi", "typing-extensions", "4.16.0", "PSF-2.0"),
]
IMAGE = ("tripod/web:1234567890ab", "sha256:" + "5" * 64, "2026-11-29T07:00:00.123456789Z")


def image(files):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    archive.seek(0)
    return archive


def test_every_kind_of_package_is_found_where_it_is_recorded():
    assert components(image(FILES)) == FOUND


def test_a_package_of_the_base_that_a_layer_upgraded_is_named_once_as_it_is_now():
    newer = "Package: libc6\nStatus: install ok installed\nVersion: 2.41-12+deb13u6\n"
    upgraded = {"var/lib/dpkg/status.d/libc6": newer, **FILES}
    assert components(image(upgraded)) == [Component("deb", "libc6", "2.41-12+deb13u6"), *FOUND[1:]]


def test_a_package_has_an_address_that_other_tools_know():
    assert [item.url for item in FOUND] == [
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u5",
        "pkg:deb/debian/postgresql-17@17.12-0%2Bdeb13u1",
        "pkg:npm/%40types/x@1.0.0-rc.1",
        "pkg:npm/y@2",
        "pkg:pypi/typing-extensions@4.16.0",
    ]


def test_the_document_is_spdx(tmp_path):
    path = tmp_path / "image.spdx.json"
    path.write_text(json.dumps(document(*IMAGE, FOUND)))
    parsed = parse_file(str(path))
    assert validate_full_spdx_document(parsed) == []
    assert [package.name for package in parsed.packages] == ["tripod/web", *(item.name for item in FOUND)]
    assert document(*IMAGE, FOUND) == document(*IMAGE, FOUND)


def test_the_validator_sees_what_is_wrong(tmp_path):
    path = tmp_path / "image.spdx.json"
    path.write_text(json.dumps(document(*IMAGE, [Component("npm", "x", "1", "no such licence")])))
    assert validate_full_spdx_document(parse_file(str(path)))


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go here, whose linker's list is read")
def test_modules_of_a_program_are_those_that_go_itself_reads(tmp_path):
    (tmp_path / "go.mod").write_text("module example.test/x\n\ngo 1.19\n")
    (tmp_path / "main.go").write_text("package main\n\nfunc main() {}\n")
    subprocess.run(["go", "build", "-o", "program", "."], cwd=tmp_path, check=True)
    told = subprocess.run(["go", "version", "program"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert list(go((tmp_path / "program").read_bytes())) == [Component("golang", "std", told.split("go", 1)[1].strip())]


def test_another_program_has_no_modules():
    assert list(go(b"\x7fELF nothing of Go's")) == []
