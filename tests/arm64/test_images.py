"""The images of arm64 answer their health checks, on this machine or emulated by it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.composed import Project, project
from tests.support.site import MEGABYTES, SERVICES

IMAGES: dict[str, str] = json.loads(os.environ["TRIPOD_ARM64_IMAGES"])
# Emulated programs take ten times as long, most of all to start.
WAIT_SECONDS = 900


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The services by the compose file, which are there when all that it waits for is."""
    with project("tripod-arm64-test", tmp_path_factory.mktemp("compose"), IMAGES) as made:
        made("up", "--no-build", "--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS), "webui")
        yield made


def image(service: str) -> dict[str, Any]:
    """Return what Docker knows of a service's image."""
    words = ["docker", "image", "inspect", IMAGES[service]]
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)[0]


@pytest.mark.parametrize("service", SERVICES)
def test_is_of_arm64_and_no_larger_than_it_has_to_be(service: str) -> None:
    assert image(service)["Architecture"] == "arm64"
    assert image(service)["Size"] <= MEGABYTES[service] * 1_000_000


@pytest.mark.parametrize("service", ["postgres", "flask-backend", "webui"])
def test_its_own_health_check_answers(compose: Project, service: str) -> None:
    health = compose.state(service)["State"]["Health"]
    assert (health["Status"], health["Log"][-1]["ExitCode"]) == ("healthy", 0), health
    assert compose("exec", "--no-TTY", service, "uname", "-m").strip() == "aarch64"


def test_the_web_interface_reaches_the_api(compose: Project) -> None:
    ask = "fetch('http://127.0.0.1:3000/api/v1/hello').then((r) => console.log(r.status))"
    assert compose("exec", "--no-TTY", "webui", "node", "-e", ask).strip() == "401"
