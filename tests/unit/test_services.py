"""What services of different languages must agree on, and no compiler compares."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ROOT / "files" / "services"
API = SERVICES / "flask-backend" / "tripod_api"
GO = SERVICES / "go-backend" / "internal"
WEB = SERVICES / "webui" / "src"
FRONT = ROOT / "plugins" / "module_utils" / "_deploy" / "nginx_config.py"


def number(path: Path, name: str) -> float:
    """Return the product of numbers that a constant or a key is made of."""
    found = re.search(rf"\b{name}\b(?:: [\w.\[\]]+)? ?[=:] ([0-9_. */]+)", path.read_text(encoding="utf-8"))
    assert found, f"{path.name} has no {name}"
    product = 1.0
    for sign, factor in re.findall(r"([*/]?) ?([0-9_.]+)", found[1]):
        product = product / float(factor) if sign == "/" else product * float(factor)
    return product


def test_the_web_interface_takes_the_bodies_that_the_api_takes() -> None:
    body, reading = WEB / "server" / "body.ts", API / "reading.py"
    assert number(body, "BODY_BYTES") == number(API / "config.py", "BODY_BYTES")
    assert number(body, "first") == 1000 * number(reading, "BODY_SECONDS")
    assert number(body, "last") == 1000 * number(reading, "BODY_SECONDS_AT_MOST")
    assert number(body, "perByte") == 1000 / number(reading, "BODY_BYTES_PER_SECOND")


def test_a_pooled_connection_ends_before_the_api_ends_it() -> None:
    kept = number(API / "gunicorn_conf.py", "keepalive")
    assert number(WEB / "server" / "upstream.ts", "POOLED") < 1000 * kept
    front = FRONT.read_text(encoding="utf-8")
    [seconds] = re.findall(r"upstream api_kept .* keepalive_timeout ([0-9]+)s", front)
    assert int(seconds) < kept


def test_the_front_knows_the_stream_that_the_web_interface_has_for_all() -> None:
    front = FRONT.read_text(encoding="utf-8")
    [path] = re.findall(r'^EVENTS = "(.+)"$', front, re.MULTILINE)
    assert f'EVENTS = "{path}"' in (WEB / "server" / "live.ts").read_text(encoding="utf-8")


def test_readings_of_each_second_are_neighbours_for_the_chart() -> None:
    regular = number(GO / "history" / "rates.go", "regular")
    assert 1.5 * regular < number(WEB / "client" / "dataplane" / "rates.ts", "LONGEST") < 3 * regular


def test_all_keep_readings_for_as_long_as_the_chart_goes_back() -> None:
    kept = {number(GO / "history" / "readings.go", "Kept"), number(API / "feed.py", "KEPT")}
    assert kept == {number(WEB / "server" / "ring.ts", "KEPT")} == {300}


def test_nobody_takes_a_quiet_stream_for_one_that_has_ended() -> None:
    beat = 1000 * number(API / "events.py", "BEAT_SECONDS")
    for silence in (WEB / "server" / "source.ts", WEB / "client" / "dataplane" / "live.ts"):
        assert 2 * beat < number(silence, "SILENCE")
    assert 2 * number(WEB / "server" / "live.ts", "SILENT") < number(
        WEB / "client" / "dataplane" / "live.ts", "SILENCE"
    )


def test_both_ask_for_passwords_of_one_length() -> None:
    field = WEB / "client" / "components" / "Field.tsx"
    assert number(field, "PASSWORD_LENGTH") == number(API / "config.py", "PASSWORD_LENGTH")
