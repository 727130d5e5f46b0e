"""The services by the compose file for developers, with the images of the site, beside it and on other ports."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import PINS, ROOT, eventually, inspect

FILE = ROOT / "files" / "services" / "docker-compose.dev.yml"
PROJECT = "tripod-compose-test"
HTTP, GRPC = "127.0.0.1:18080", "172.31.251.1:15051"
Compose = Callable[..., str]


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The real plugin, which ends with everything that it made."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker has no compose plugin here (Debian 13: docker-compose)")
    here = tmp_path_factory.mktemp("compose")
    here.chmod(0o755)
    for name in ("db_password", "jwt_secret", "admin_password", "policy_secret"):
        (here / name).write_text(secrets.token_hex(32))
        (here / name).chmod(0o444)
    own: dict[str, dict[str, Any]] = {
        "go-backend": {"environment": {"HTTP_ADDRESS": HTTP, "GRPC_ADDRESS": GRPC}},
        "flask-backend": {"environment": {"GO_BACKEND_TARGET": f"go-backend:{GRPC.rpartition(':')[2]}"}},
        "migrate": {},
        "postgres": {},
        "webui": {},
    }
    for service, changes in own.items():
        image = inspect("flask-backend" if service == "migrate" else service)["Config"]["Image"]
        changes |= {"image": image, "pull_policy": "never"}
    # Its tags are no JSON, and JSON is YAML.
    override = json.dumps({"services": own})
    for published in ("flask-backend", "webui"):
        override = override.replace(f'"{published}": {{', f'"{published}": {{"ports": !reset [], ')
    (here / "override.yml").write_text(override)
    command = [
        "docker",
        "compose",
        "--project-name",
        PROJECT,
        "--file",
        str(FILE),
        "--file",
        str(here / "override.yml"),
    ]

    def run(*words: str, **environment: str) -> str:
        given = {**os.environ, "TRIPOD_SECRETS_DIR": str(here), **environment}
        done = subprocess.run([*command, *words], env=given, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return done.stdout

    try:
        yield run
    finally:
        run("down", "--volumes")


def state(compose: Compose, service: str) -> dict[str, Any]:
    """Return what Docker knows of a container of the project."""
    name = compose("ps", "--all", "--quiet", service).strip()
    return json.loads(subprocess.run(["docker", "inspect", name], check=True, capture_output=True).stdout)[0]


@pytest.mark.parametrize("places", [{}, {"TRIPOD_PINS": str(PINS), "TRIPOD_OBJECTS": "/var/lib/tripod/bpf"}])
def test_go_backend_starts_alone_on_any_host_and_serves_a_host_that_is_prepared(
    compose: Compose, places: dict[str, str]
) -> None:
    compose("up", "--no-build", "--detach", "go-backend", **places)

    def settled() -> str:
        seen = state(compose, "go-backend")
        assert seen["RestartCount"] == 0, seen["State"]
        status = seen["State"]["Health"]["Status"]
        return status if status != "starting" else ""

    expected = "healthy" if places and Path(places["TRIPOD_OBJECTS"]).exists() else "unhealthy"
    assert eventually("its health is known", settled, seconds=120) == expected


def test_the_web_interface_serves_the_api_and_has_no_way_to_the_database(compose: Compose) -> None:
    compose("up", "--no-build", "--detach", "--wait", "--wait-timeout", "180", "webui")

    def seen(service: str, *program: str) -> str:
        return compose("exec", "--no-TTY", service, *program).strip()

    ask = (
        "fetch('http://127.0.0.1:3000/api/v1/hello').then((r) => console.log(r.status, r.headers.get('content-type')))"
    )
    assert seen("webui", "node", "-e", ask).startswith("401 application/")
    # Of the specification's networks, the application's has both, and the database's only what asks the database.
    find = "require('dns').lookup('{}', (error) => console.log(error ? error.code : 'found'))"
    assert seen("webui", "node", "-e", find.format("flask-backend")) == "found"
    assert seen("webui", "node", "-e", find.format("postgres")) in ("ENOTFOUND", "EAI_AGAIN")
    networks = {service: state(compose, service)["NetworkSettings"]["Networks"] for service in ("webui", "postgres")}
    assert [name.removeprefix(f"{PROJECT}_") for name in networks["postgres"]] == ["db-network"]
    assert {name.removeprefix(f"{PROJECT}_") for name in networks["webui"]} == {"app-network", "ui-network"}


def test_its_containers_have_the_limits_of_the_file(compose: Compose) -> None:
    asked = json.loads(compose("config", "--format", "json"))["services"]
    for service in ("postgres", "flask-backend", "go-backend", "webui"):
        limits = state(compose, service)["HostConfig"]
        assert limits["Memory"] == limits["MemorySwap"] == int(asked[service]["mem_limit"])
        assert limits["NanoCpus"] == round(float(asked[service].get("cpus", 0)) * 1e9)
        assert limits["PidsLimit"] == asked[service]["pids_limit"]
