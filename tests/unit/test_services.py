"""What services of different languages must agree on, and no compiler compares."""

from __future__ import annotations

import re
from pathlib import Path

SERVICES = Path(__file__).resolve().parents[2] / "files" / "services"
API = SERVICES / "flask-backend" / "tripod_api"
WEB = SERVICES / "webui" / "src"


def number(path: Path, name: str) -> float:
    """Return the product of numbers that a constant or a key is made of."""
    found = re.search(rf"\b{name}\b(?:: [\w.\[\]]+)? ?[=:] ([0-9_. */]+)", path.read_text(encoding="utf-8"))
    assert found, f"{path.name} has no {name}"
    product = 1.0
    for sign, factor in re.findall(r"([*/]?) ?([0-9_.]+)", found[1]):
        product = product / float(factor) if sign == "/" else product * float(factor)
    return product


def test_the_web_interface_takes_the_bodies_that_the_api_takes() -> None:
    body, worker = WEB / "server" / "body.ts", API / "worker.py"
    assert number(body, "BODY_BYTES") == number(API / "config.py", "BODY_BYTES")
    assert number(body, "first") == 1000 * number(worker, "BODY_SECONDS")
    assert number(body, "last") == 1000 * number(worker, "BODY_SECONDS_AT_MOST")
    assert number(body, "perByte") == 1000 / number(worker, "BODY_BYTES_PER_SECOND")


def test_a_pooled_connection_ends_before_the_api_ends_it() -> None:
    assert number(WEB / "server" / "upstream.ts", "POOLED") < 1000 * number(API / "gunicorn_conf.py", "keepalive")


def test_readings_of_the_history_are_neighbours_for_the_chart() -> None:
    every = 1000 * number(API / "history.py", "EVERY_SECONDS")
    assert 1.5 * every < number(WEB / "client" / "dataplane" / "rates.ts", "LONGEST")


def test_both_ask_for_passwords_of_one_length() -> None:
    field = WEB / "client" / "components" / "Field.tsx"
    assert number(field, "PASSWORD_LENGTH") == number(API / "config.py", "PASSWORD_LENGTH")
