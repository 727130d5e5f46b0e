"""The images of arm64 answer their health checks, on this machine or emulated by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.composed import Project, project
from tests.support.site import MEGABYTES, SERVICES, eventually

# The broker is not among those that a site has by default.
BUILT = (*SERVICES, "rabbitmq")
IMAGES: dict[str, str] = json.loads(os.environ["TRIPOD_ARM64_IMAGES"])
# Emulated programs take ten times as long, most of all to start.
WAIT_SECONDS = 900
# Of a million bytes. Segments of programs begin at pages of 64 KiB, so the base alone has 7 more; and psycopg's wheel
# brings another OpenSSL, for Kerberos.
LARGER = 8


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The services by the compose file, which are there when all that it waits for is."""
    with project("tripod-arm64-test", tmp_path_factory.mktemp("compose"), IMAGES) as made:
        made("up", "--no-build", "--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS), "webui")
        emulated = {"TRIPOD_ERL_FLAGS": "+JMsingle true"} if os.uname().machine != "aarch64" else {}
        made("up", "--no-build", "--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS), "rabbitmq", **emulated)
        yield made


def image(service: str) -> dict[str, Any]:
    """Return what Docker knows of a service's image."""
    words = ["docker", "image", "inspect", IMAGES[service]]
    return json.loads(subprocess.run(words, check=True, capture_output=True).stdout)[0]


@pytest.mark.parametrize("service", BUILT)
def test_is_of_arm64_and_no_larger_than_it_has_to_be(service: str) -> None:
    assert image(service)["Architecture"] == "arm64"
    assert image(service)["Size"] <= (MEGABYTES[service] + LARGER) * 1_000_000


@pytest.mark.parametrize("service", ["postgres", "flask-backend", "webui", "rabbitmq"])
def test_its_own_health_check_answers(compose: Project, service: str) -> None:
    health = compose.state(service)["State"]["Health"]
    assert (health["Status"], health["Log"][-1]["ExitCode"]) == ("healthy", 0), health
    assert compose("exec", "--no-TTY", service, "uname", "-m").strip() == "aarch64"


def test_the_web_interface_reaches_the_api(compose: Project) -> None:
    ask = "fetch('http://127.0.0.1:3000/api/v1/hello').then((r) => console.log(r.status))"
    assert compose("exec", "--no-TTY", "webui", "node", "-e", ask).strip() == "401"


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A host that is prepared for go-backend, as the compose file takes it: a BPF file system, and the XDP object."""
    pins, objects = tmp_path / "pins", tmp_path / "objects"
    pins.mkdir()
    objects.mkdir()
    shutil.copy(os.environ["TRIPOD_XDP_OBJECT"], objects / "tripod_xdp.bpf.o")
    subprocess.run(["mount", "-t", "bpf", "-o", "mode=0755", "bpf", pins], check=True)
    try:
        yield {"TRIPOD_PINS": str(pins), "TRIPOD_OBJECTS": str(objects)}
    finally:
        subprocess.run(["umount", pins], check=True)


def test_go_backend_is_healthy_and_says_so_where_the_kernel_does_not_answer(
    compose: Project, places: dict[str, str]
) -> None:
    compose("up", "--no-build", "--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS), "go-backend", **places)
    health = compose.state("go-backend")["State"]["Health"]
    assert (health["Status"], health["Log"][-1]["ExitCode"]) == ("healthy", 0), health

    maps = Path(places["TRIPOD_PINS"], "tripod0", "maps")
    maps.mkdir(parents=True)
    words = "type array key 4 value 8 entries 1 name counters"
    subprocess.run(["bpftool", "map", "create", maps / "counters", *words.split()], check=True)
    reason = eventually("its health is seen again", lambda: said(compose), seconds=120)
    assert "damaged pins: open pin /bpf/tripod0/prog: " in reason
    # QEMU's user emulation has no bpf(2), whatever is pinned.
    assert ("function not implemented" in reason) == (os.uname().machine != "aarch64")


def said(compose: Project) -> str:
    """Return what go-backend's last health check printed, where it failed."""
    last = compose.state("go-backend")["State"]["Health"]["Log"][-1]
    return last["Output"] if last["ExitCode"] else ""
