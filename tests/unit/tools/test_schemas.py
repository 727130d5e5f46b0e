"""The schemas in the documents are those that the core checks by."""

from __future__ import annotations

import pytest

from tools.schemas import PLACE, schemas, text


@pytest.mark.parametrize("name", list(schemas()))
def test_a_schema_is_written_as_it_is_checked_by(name):
    written = (PLACE / name).read_text(encoding="utf-8")
    assert written == text(schemas()[name]), "make docs writes it anew"


def test_there_is_no_other():
    assert sorted(path.name for path in PLACE.iterdir()) == sorted(schemas())
