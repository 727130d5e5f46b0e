"""What the API's host gets of the hosts whose data planes it serves, in an /etc of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.fresh import ansible_playbook
from tests.support.machine import Machine

SECRET = "0123456789abcdef0123456789abcdef"
PLAY = """\
- hosts: first
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: tripod.baremetal.flask_backend, tasks_from: data_planes}
      vars: {flask_backend_data_planes: "{{ served }}"}
"""
INVENTORY = """\
tripod:
  hosts:
    first: {tripod_config_dir: /etc/first, ansible_connection: local}
    second: {tripod_config_dir: /etc/second, ansible_connection: local}
    third: {ansible_host: 127.0.0.1, ansible_port: 1}
  vars:
    ansible_python_interpreter: /usr/bin/python3
"""


class Site:
    """Hosts that are this machine, each with a directory of its own, and one that nobody reaches."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        (folder / "site.yml").write_text(PLAY)
        (folder / "hosts.yml").write_text(INVENTORY)

    def play(self, *served: str) -> tuple[int, str]:
        hosts = yaml.safe_dump({"served": [{"name": name, "address": "192.0.2.2"} for name in served]})
        (self.folder / "served.yml").write_text(hosts)
        words = ["-i", "hosts.yml", "site.yml", "-e", "@served.yml"]
        done = ansible_playbook(self.machine, words, self.folder)
        return done.returncode, done.stdout + done.stderr

    def etc(self, path: str) -> Path:
        return Path(f"/proc/{self.machine.holder.pid}", "root", "etc", path)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with contextlib.closing(Machine()) as machine:
        yield Site(machine, tmp_path)


def test_the_secrets_of_others_come_to_the_api_and_go_with_them(site: Site):
    status, told = site.play("second")
    assert status, told
    assert "second has no /etc/second/secrets/go-backend/policy_secret" in told
    assert "run the role go_backend there first" in " ".join(told.split())

    theirs = site.etc("second/secrets/go-backend")
    theirs.mkdir(parents=True)
    (theirs / "policy_secret").write_text(SECRET)
    status, told = site.play("second")
    assert status == 0, told
    assert SECRET not in told
    copy = site.etc("first/secrets/flask-backend/policy_secret_second")
    assert (copy.read_text(), copy.stat().st_mode & 0o777, copy.stat().st_uid) == (SECRET, 0o400, 561)
    status, told = site.play("second")
    assert (status, "changed=0" in told) == (0, True), told

    # What was read of a host before stays good while nobody reaches it; one that is new is still to be reached.
    (copy.parent / "policy_secret_third").write_text(SECRET)
    status, told = site.play("second", "third")
    assert status == 0, told
    (copy.parent / "policy_secret_third").unlink()
    status, told = site.play("second", "third")
    assert status, told
    assert "third has no /etc/tripod/secrets/go-backend/policy_secret" in told

    status, told = site.play()
    assert status == 0, told
    assert list(copy.parent.glob("policy_secret*")) == []
