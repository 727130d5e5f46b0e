"""Every Dockerfile gives what it copies out of a clone modes of its own, and all record packages alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "files").rglob("Dockerfile"))
STAGE = re.compile(r"^FROM \S+(?: AS (\S+))?$", re.MULTILINE)


def copied(text: str) -> Iterator[tuple[str, str]]:
    """Yield each place that files of the context are copied to, and what is run after that in the same stage.

    Stages of tests run as root or own what they copied, and what a compiler made has the modes that it gave.
    """
    begins = [*STAGE.finditer(text)]
    for number, begin in enumerate(begins):
        end = begins[number + 1].start() if number + 1 < len(begins) else len(text)
        stage = text[begin.end() : end].replace("\\\n", "")
        if begin[1] == "test":
            continue
        for copy in re.finditer(r"^COPY (?!--from)(.*) (\S+)$", stage, re.MULTILINE):
            runs = [line for line in stage[copy.end() :].splitlines() if line.startswith("RUN ")]
            yield copy[2], "\n".join(runs)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_what_is_copied_is_compiled_or_gets_its_modes(path):
    text = path.read_text(encoding="utf-8")
    compiled = "go build" in text or "clang" in text
    bare = [
        place
        for place, runs in copied(text)
        # What only the build reads, as root, is not in what it ships.
        if not (compiled or "chmod" in runs or place in ("/build/", "./"))
    ]
    assert bare == []
    assert "--chmod" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE), "the classic builder does not know it"


def recorded(text: str) -> list[str]:
    """Return the lines that record what an installation of packages brings, of a Dockerfile that has them."""
    lines = [line.strip().rstrip("; \\") for line in text.splitlines()]
    if not any(line.endswith("> /before") for line in lines):
        return []
    before = next(line for line in lines if line.endswith("> /before"))
    begin = lines.index("mkdir -p /out/var/lib/dpkg/status.d")
    end = next(at for at, line in enumerate(lines) if line.endswith("tar --extract --directory=/out"))
    return [before, *lines[begin : end + 1]]


def test_what_packages_bring_is_recorded_in_the_same_words():
    # A Dockerfile can include no other, and each has to be built alone on the standard's base.
    found = {path.parent.name: recorded(path.read_text(encoding="utf-8")) for path in FILES}
    having = {name: lines for name, lines in found.items() if lines}
    assert set(having) == {"flask-backend", "postgres", "rabbitmq", "webui"}
    assert all(lines == having["webui"] for lines in having.values())
    assert len(having["webui"]) > 4
