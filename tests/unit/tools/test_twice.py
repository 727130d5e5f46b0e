"""What is said of two layers that are not alike."""

from __future__ import annotations

import io
import tarfile

from tools.twice import differences, entries

PROGRAM = {"mtime": 0, "mode": 0o755, "pax_headers": {"SCHILY.xattr.security.capability": "one"}}


def layer(content=b"code", **changed):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("usr/bin/program")
        member.size = len(content)
        for name, value in {**PROGRAM, **changed}.items():
            setattr(member, name, value)
        tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        return entries(tar)


def test_everything_that_a_layer_says_of_a_file_is_compared():
    assert differences(layer(), layer()) == []
    other_capabilities = {"SCHILY.xattr.security.capability": "other"}
    for changed in (
        {"content": b"edoc"},
        {"mtime": 1},
        {"mode": 0o700},
        {"uid": 1},
        {"pax_headers": other_capabilities},
    ):
        (line,) = differences(layer(), layer(**changed))
        assert line.startswith("usr/bin/program: ")


def test_a_file_that_one_layer_lacks_is_named():
    assert differences({}, layer())[0].startswith("usr/bin/program: None and ")
