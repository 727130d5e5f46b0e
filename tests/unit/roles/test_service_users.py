"""A service's user is written once; what cannot read that place says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
VARIABLES = {
    "flask-backend": "tripod_flask_uid",
    "go-backend": "tripod_go_uid",
    "webui": "tripod_webui_uid",
    "postgres": "tripod_postgres_uid",
    "rabbitmq": "tripod_rabbitmq_uid",
}
DEFAULTS = yaml.safe_load((ROOT / "roles" / "common" / "defaults" / "main.yml").read_text())
FIRST_PERSON = 1000  # UID_MIN of Debian's login.defs


def dockerfile(service: str) -> str:
    return (ROOT / "files" / "services" / service / "Dockerfile").read_text()


@pytest.mark.parametrize(("service", "variable"), VARIABLES.items())
def test_the_image_has_the_user_of_the_role(service, variable):
    text = dockerfile(service)
    assert set(re.findall(r"^ARG SERVICE_UID=(.*)$", text, re.MULTILINE)) == {str(DEFAULTS[variable])}
    assert set(re.findall(r"^USER (\S+)$", text, re.MULTILINE)) - {"root"} <= {
        "${SERVICE_UID}:${SERVICE_UID}",
        "${SERVICE_UID}",
    }
    # Nothing but the default of the argument is a number that would not follow it.
    assert not re.search(rf"(?<!SERVICE_UID=)\b{DEFAULTS[variable]}\b|\b1000\d\b", text)


@pytest.mark.parametrize(("service", "variable"), VARIABLES.items())
def test_each_stage_that_uses_the_argument_declares_it(service, variable):
    for stage in re.split(r"^FROM ", dockerfile(service), flags=re.MULTILINE)[1:]:
        if "${SERVICE_UID}" in stage:
            assert f"ARG SERVICE_UID={DEFAULTS[variable]}" in stage.partition("${SERVICE_UID}")[0]


@pytest.mark.parametrize("service", ["postgres", "rabbitmq"])
def test_the_compose_file_has_the_user_of_a_place_in_memory(service):
    text = (ROOT / "files" / "services" / "docker-compose.dev.yml").read_text()
    (place,) = [one for one in yaml.safe_load(text)["services"][service]["tmpfs"] if one != "/tmp"]
    assert re.findall(r"[ug]id=(\d+)", place) == [str(DEFAULTS[VARIABLES[service]])] * 2


def test_the_guard_s_playbook_has_the_group_of_the_pins_that_are_there_already():
    groups = re.findall(r"pin_group: (\d+)", (ROOT / "tests" / "playbooks" / "guard.yml").read_text())
    assert groups == [str(DEFAULTS["tripod_go_uid"])]


def test_users_are_different_and_below_the_range_for_people():
    numbers = [DEFAULTS[variable] for variable in VARIABLES.values()]
    assert len(set(numbers)) == len(numbers)
    assert all(100 < number < FIRST_PERSON for number in numbers)


@pytest.mark.parametrize("role", ["service_users", "preflight"])
def test_what_is_reserved_is_checked_before(role):
    content = yaml.safe_load((ROOT / "roles" / role / "vars" / "main.yml").read_text())
    users = content["_preflight_users" if role == "preflight" else "_service_users_all"]
    assert {one["name"].rpartition("}-")[2]: one["variable"] for one in users} == VARIABLES
    assert all(one["uid"] == "{{ " + one["variable"] + " }}" for one in users)
