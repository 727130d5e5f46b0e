"""The teardown where the engine cannot be asked, on a machine of its own: it removes nothing by half."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import Machine, eventually

ROOT = Path(__file__).resolve().parents[2]
SECRET = "/etc/tripod/secrets/postgres/password"
BROKEN_ENGINE = """\
import http.server, socketserver

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500, "broken")
    def address_string(self):
        return "nobody"

socketserver.UnixStreamServer("/run/docker.sock", Answer).serve_forever()
"""


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    made.run("mkdir", "-p", os.path.dirname(SECRET))
    made.run("touch", SECRET)
    yield made
    made.close()


def tear_down(machine: Machine) -> str:
    """Run the teardown with data; it must fail, and leave the secrets. Returns what it said."""
    command = [Path(sys.executable).with_name("ansible-playbook"), "playbooks/teardown.yml", "-e", "teardown_data=true"]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [*machine.within, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 2, done.stdout + done.stderr
    machine.run("test", "-f", SECRET)
    return " ".join(done.stdout.split())


def test_the_data_of_an_engine_that_does_not_run_is_not_gone(machine):
    volume, container = "/var/lib/docker/volumes/shop-postgres-data", "/var/lib/docker/containers/12ab"
    for directory in (volume, container):
        machine.run("mkdir", "-p", directory)
    label = '{"Config":{"Labels":{"org.tripod.collection":"tripod.baremetal"}}}'
    machine.run("sh", "-c", f"echo '{label}' > {container}/config.v2.json")
    said = tear_down(machine)
    assert f"only be removed through it: {container}/config.v2.json, {volume}. Start the engine" in said


def test_an_engine_that_gives_no_answer_is_not_one_without_containers(machine):
    with subprocess.Popen([*machine.within, "/usr/bin/python3", "-c", BROKEN_ENGINE]) as engine:
        try:
            eventually(lambda: machine.run("sh", "-c", "ls /run/docker.sock || true"), 10)
            assert "500" in tear_down(machine)
        finally:
            engine.kill()
