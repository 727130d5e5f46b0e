"""The services by the compose file for developers, with the images of the site, beside it and on other ports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composed import Project, project
from tests.support.site import PINS, SERVICES, eventually, inspect

# Of the specification's networks, the application's has both, and the database's only what asks the database. A
# published port has one of its own.
NETWORKS = {
    "postgres": {"db-network"},
    "migrate": {"db-network"},
    "flask-backend": {"app-network", "db-network", "rpc-network", "api-network"},
    "go-backend": {"host"},
    "webui": {"app-network", "ui-network"},
}


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Compose, which ends with everything that it made."""
    images = {service: inspect(service)["Config"]["Image"] for service in SERVICES}
    with project("tripod-compose-test", tmp_path_factory.mktemp("compose"), images) as made:
        yield made


@pytest.mark.parametrize(
    "places",
    [
        pytest.param({}, marks=pytest.mark.full),
        {"TRIPOD_PINS": str(PINS), "TRIPOD_OBJECTS": "/var/lib/tripod/bpf"},
    ],
)
def test_go_backend_starts_alone_on_any_host_and_serves_a_host_that_is_prepared(
    compose: Project, places: dict[str, str]
) -> None:
    compose("up", "--no-build", "--detach", "go-backend", **places)

    def settled() -> str:
        seen = compose.state("go-backend")
        assert seen["RestartCount"] == 0, seen["State"]
        status = seen["State"]["Health"]["Status"]
        return status if status != "starting" else ""

    expected = "healthy" if places and Path(places["TRIPOD_OBJECTS"]).exists() else "unhealthy"
    assert eventually("its health is known", settled, seconds=120) == expected


def test_the_web_interface_serves_the_api_and_has_no_way_to_the_database(compose: Project) -> None:
    compose("up", "--no-build", "--detach", "--wait", "--wait-timeout", "180", "webui")

    waited_for = ("postgres", "flask-backend", "webui")
    assert {compose.state(service)["State"]["Health"]["Status"] for service in waited_for} == {"healthy"}

    def seen(service: str, *program: str) -> str:
        return compose("exec", "--no-TTY", service, *program).strip()

    ask = (
        "fetch('http://127.0.0.1:3000/api/v1/hello').then((r) => console.log(r.status, r.headers.get('content-type')))"
    )
    assert seen("webui", "node", "-e", ask).startswith("401 application/")
    find = "require('dns').lookup('{}', (error) => console.log(error ? error.code : 'found'))"
    assert seen("webui", "node", "-e", find.format("flask-backend")) == "found"
    assert seen("webui", "node", "-e", find.format("postgres")) in ("ENOTFOUND", "EAI_AGAIN")
    assert {service: compose.networks(service) for service in NETWORKS} == NETWORKS


def test_its_containers_have_the_limits_of_the_file(compose: Project) -> None:
    asked = json.loads(compose("config", "--format", "json"))["services"]
    for service in ("postgres", "flask-backend", "go-backend", "webui"):
        limits = compose.state(service)["HostConfig"]
        assert limits["Memory"] == limits["MemorySwap"] == int(asked[service]["mem_limit"])
        assert limits["NanoCpus"] == round(float(asked[service].get("cpus", 0)) * 1e9)
        assert limits["PidsLimit"] == asked[service]["pids_limit"]
