"""Of every window there is on anything: a number is digits alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tripod_api.schemas import Query

ODD = ("1.0", "+1", "1_0", "01", " 1", "1 ", "1e1", "0x1", "", "\N{ARABIC-INDIC DIGIT ONE}")


def numbers() -> list[tuple[type[Query], str]]:
    pending, found = [*Query.__subclasses__()], []
    while pending:
        one = pending.pop()
        pending += one.__subclasses__()
        found += [(one, name) for name, field in one.model_fields.items() if field.annotation is int]
    return found


def test_there_are_numbers() -> None:
    assert len(numbers()) >= 12


@pytest.mark.parametrize(("window", "name"), numbers(), ids=lambda one: getattr(one, "__name__", one))
def test_a_number_is_digits_alone(window: type[Query], name: str) -> None:
    assert getattr(window.model_validate({name: "7"}), name) == 7
    for odd in ODD:
        with pytest.raises(ValidationError):
            window.model_validate({name: odd})
