"""The services by the compose file for developers, with images that are there and on ports beside a site's."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import ROOT

FILE = ROOT / "files" / "services" / "docker-compose.dev.yml"
# Of a site's go-backend the ports, to which alone its packet filter lets that user connect, and other addresses.
HTTP, GRPC = "127.0.0.2:8080", "172.31.251.1:50051"
SECRETS = ("db_password", "jwt_secret", "admin_password", "policy_secret")


class Project:
    """A project of Compose, by the real command.

    Args:
        name: The project's.
        place: For the secrets and what differs from the file.
        images: By service.
    """

    def __init__(self, name: str, place: Path, images: Mapping[str, str]) -> None:
        self.name = name
        self.secrets = place
        place.chmod(0o755)
        for secret in SECRETS:
            (place / secret).write_text(secrets.token_hex(32))
            (place / secret).chmod(0o444)
        certified(place / "rabbitmq")
        own: dict[str, dict[str, Any]] = {
            service: {"image": image, "pull_policy": "never"} for service, image in images.items()
        }
        own["migrate"] = dict(own["flask-backend"])
        own["go-backend"]["environment"] = {"HTTP_ADDRESS": HTTP, "GRPC_ADDRESS": GRPC}
        own["flask-backend"]["environment"] = {"GO_BACKEND_TARGET": f"go-backend:{GRPC.rpartition(':')[2]}"}
        # Its tags are no JSON, and JSON is YAML.
        override = json.dumps({"services": own})
        for published in ("flask-backend", "webui"):
            override = override.replace(f'"{published}": {{', f'"{published}": {{"ports": !reset [], ')
        (place / "override.yml").write_text(override)
        files = ["--file", str(FILE), "--file", str(place / "override.yml")]
        self.command = [*command(), "--project-name", name, *files]

    def __call__(self, *words: str, **environment: str) -> str:
        """Return what a command of Compose prints."""
        given = {**os.environ, "TRIPOD_SECRETS_DIR": str(self.secrets), **environment}
        done = subprocess.run([*self.command, *words], env=given, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return done.stdout

    def state(self, service: str) -> dict[str, Any]:
        """Return what Docker knows of a service's container."""
        name = self("ps", "--all", "--quiet", service).strip()
        return json.loads(subprocess.run(["docker", "inspect", name], check=True, capture_output=True).stdout)[0]

    def networks(self, service: str) -> set[str]:
        """Return the file's names of the networks that a service's container is on."""
        return {name.removeprefix(f"{self.name}_") for name in self.state(service)["NetworkSettings"]["Networks"]}

    def remains(self) -> list[str]:
        """Return the containers, networks and volumes that are there of it."""
        label = f"label=com.docker.compose.project={self.name}"
        lists = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
        words = [["docker", *kind, "--quiet", "--filter", label] for kind in lists]
        told = [subprocess.run(one, check=True, capture_output=True, text=True).stdout for one in words]
        return " ".join(told).split()


def certified(place: Path) -> None:
    """Make what the broker reads, as the file's first lines tell people to."""
    place.mkdir(mode=0o755)
    (place / "erlang_cookie").write_text(secrets.token_hex(32))
    new = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes")
    authority = ("-subj", "/CN=dev-ca", "-addext", "keyUsage=keyCertSign", "-keyout", "../ca.key", "-out", "ca.crt")
    subprocess.run([*new, *authority], cwd=place, check=True, capture_output=True)
    names = (
        "-subj",
        "/CN=rabbitmq",
        "-addext",
        "subjectAltName=DNS:rabbitmq",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    )
    issued = ("-CA", "ca.crt", "-CAkey", "../ca.key", "-keyout", "tls.key", "-out", "tls.crt")
    subprocess.run([*new, *names, *issued], cwd=place, check=True, capture_output=True)
    for path in place.iterdir():
        path.chmod(0o444)


def command() -> list[str]:
    """Return the words that start Compose: those that the runner of the tests gives, else the engine's plugin."""
    return shlex.split(os.environ.get("TRIPOD_COMPOSE") or "docker compose")


@contextmanager
def project(name: str, place: Path, images: Mapping[str, str]) -> Iterator[Project]:
    """Yield a project that ends with everything that it made, or skip where there is no Compose."""
    if subprocess.run([*command(), "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no Compose 2 here (Debian 13: docker-compose)")
    made = Project(name, place, images)
    try:
        yield made
    finally:
        made("down", "--volumes")
        assert made.remains() == []
