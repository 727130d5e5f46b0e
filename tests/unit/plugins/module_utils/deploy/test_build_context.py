"""The identity of a build context."""

from __future__ import annotations

import os
import tarfile

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy import build_context
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.build_context import (
    IgnoreRules,
    digest_context,
    packed,
)


@pytest.fixture
def context(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print(1)\n")
    return tmp_path


def digest(context, *inputs):
    return digest_context(str(context), inputs).digest


def test_the_tag_is_the_beginning_of_the_digest(context):
    found = digest_context(str(context))
    assert found.tag == found.digest[:12]
    assert (found.files, found.size) == (2, len("FROM scratch\n" + "print(1)\n"))


def test_times_do_not_count(context):
    before = digest(context)
    os.utime(context / "src" / "main.py", (1, 1))
    assert digest(context) == before


def rename(context):
    (context / "src" / "main.py").rename(context / "src" / "other.py")


def edit(context):
    (context / "src" / "main.py").write_text("print(2)\n")


def allow(context):
    (context / "src" / "main.py").chmod(0o755)


def add(context):
    (context / "src" / "empty").touch()


def replace_by_link(context):
    (context / "src" / "main.py").unlink()
    (context / "src" / "main.py").symlink_to("../Dockerfile")


@pytest.mark.parametrize("change", [rename, edit, allow, add, replace_by_link])
def test_what_the_engine_would_get_counts(context, change):
    before = digest(context)
    change(context)
    assert digest(context) != before


def test_inputs_count_with_their_order_and_bounds(context):
    digests = [digest(context), digest(context, "a", "b"), digest(context, "b", "a"), digest(context, "ab")]
    assert len(set(digests)) == 4


def test_a_name_does_not_run_into_its_content(tmp_path):
    for folder, name, text in (("one", "ab", "c"), ("two", "a", "bc")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def test_ignored_files_do_not_count_but_the_dockerfile_does(context):
    (context / ".dockerignore").write_text("*\n!src\nsrc/*.log\n")
    before = digest(context)
    (context / "notes").write_text("x")
    (context / "src" / "debug.log").write_text("x")
    assert digest(context) == before
    (context / "Dockerfile").write_text("FROM scratch\nCOPY src /\n")
    assert digest(context) != before


@pytest.mark.parametrize(
    ("patterns", "path", "excluded"),
    [
        ("node_modules", "node_modules/a/b.js", True),
        ("node_modules", "web/node_modules/a.js", False),
        ("**/node_modules", "web/node_modules/a.js", True),
        ("**/node_modules", "node_modules/a.js", True),
        ("/dist/", "dist/x", True),
        ("*.pyc", "a.pyc", True),
        ("*.pyc", "src/a.pyc", False),
        ("**/*.pyc", "src/deep/a.pyc", True),
        ("*/temp*", "sub/temporary.txt", True),
        ("*/temp*", "sub/deep/temporary.txt", False),
        ("temp?", "tempa", True),
        ("temp?", "temp", False),
        ("[ab]x", "bx", True),
        ("[ab]x", "cx", False),
        ("# a comment", "# a comment", False),
        ("*.md\n!README.md", "README.md", False),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
        ("docs\n!docs/keep", "docs/keep", False),
        ("docs\n!docs/keep", "docs/drop", True),
        ("a.b", "axb", False),
        ("src/**", "src/a/b", True),
        (".", "anything", False),
    ],
)
def test_patterns_mean_what_the_engine_documents(patterns, path, excluded):
    assert IgnoreRules.parse(patterns).excludes(path) is excluded


def test_what_is_sent_does_not_depend_on_the_umask_of_the_clone(tmp_path):
    sent = {}
    for umask in (0o077, 0o027, 0o022):
        root = tmp_path / f"{umask:o}"
        (root / "src").mkdir(parents=True)
        for name, mode in (("Dockerfile", 0o666), ("src/data", 0o666), ("src/tool", 0o777), ("src/no.pyc", 0o666)):
            (root / name).write_text(name)
            (root / name).chmod(mode & ~umask)
        (root / "src" / "link").symlink_to("data")
        (root / ".dockerignore").write_text("**/*.pyc\n.dockerignore\n")
        bundle = tmp_path / "ca.pem"
        bundle.write_text("ca")
        bundle.chmod(0o600)
        with packed(str(root), {"ca.crt": str(bundle)}) as archive, tarfile.open(fileobj=archive) as tar:
            sent[umask] = {(one.name, one.mode, one.uid, one.gid, one.linkname) for one in tar}
    assert sent[0o077] == {
        ("Dockerfile", 0o644, 0, 0, ""),
        ("ca.crt", 0o644, 0, 0, ""),
        ("src/data", 0o644, 0, 0, ""),
        ("src/tool", 0o755, 0, 0, ""),
        ("src/link", 0o755, 0, 0, "data"),
    }
    assert sent[0o027] == sent[0o022] == sent[0o077]


def test_the_modes_that_are_sent_are_part_of_the_digest(tmp_path, monkeypatch):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    before = digest_context(str(tmp_path)).digest
    monkeypatch.setattr(build_context, "FILE_MODE", 0o640)
    assert digest_context(str(tmp_path)).digest != before
