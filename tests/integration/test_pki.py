"""The role ``pki``, in an /etc of its own: what is issued, to whom, when again, and what a rotation leaves."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.fresh import ansible_playbook
from tests.support.machine import Machine

SERVICES = {"postgres": 564, "go-backend": 562}
ROTATION = str(Path(__file__).parents[2] / "playbooks" / "rotate_ca.yml")
PLAY = """\
- hosts: tripod
  gather_facts: false
  roles:
    - role: tripod.baremetal.pki
"""
INVENTORY = """\
tripod:
  hosts:
    here: {tripod_config_dir: /etc/first}
    localhost: {tripod_config_dir: /etc/second}
  vars:
    ansible_connection: local
    ansible_python_interpreter: /usr/bin/python3
    docker_engine_running: false
    pki_packages: []
    pki_authority_dir: /etc/first/ca
    pki_services:
      - {service: postgres, uid: 564}
      - {service: go-backend, uid: 562, needed: true}
      - {service: broker, uid: 565, needed: false}
"""


class Site:
    """Two hosts that are this machine, each with a directory of its own that no other test makes beside it."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        (folder / "site.yml").write_text(PLAY)
        (folder / "hosts.yml").write_text(INVENTORY)

    def play(self, *words: str, playbook: str = "site.yml") -> str:
        done = self._run(playbook, words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refusal(self, *words: str, playbook: str = "site.yml") -> str:
        done = self._run(playbook, words)
        assert done.returncode, done.stdout
        return done.stdout

    def _run(self, playbook: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return ansible_playbook(self.machine, ["-i", "hosts.yml", playbook, *words], self.folder)

    def etc(self, path: str) -> Path:
        return Path(f"/proc/{self.machine.holder.pid}", "root", "etc", path)

    def digest(self) -> dict[str, tuple[bytes, int]]:
        files = [path for top in ("first", "second") for path in self.etc(top).rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    machine = Machine()
    yield Site(machine, tmp_path)
    machine.close()


def trusts(authority: Path, certificate: Path, key: Path) -> str:
    """Shake hands with a server that has the certificate, and return the name that a client reads in it."""
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=authority)
    server.load_cert_chain(certificate, key)
    client.check_hostname = False
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for turn in range(6):
        with contextlib.suppress(ssl.SSLWantReadError):
            ends[turn % 2].do_handshake()
    found = ends[0].getpeercert()
    assert found
    return str(found["subjectAltName"][0][1])


@pytest.mark.full
def test_each_service_gets_a_certificate_and_a_second_run_changes_nothing(site):
    assert "would make a key of the authority" in site.play("--check")
    assert not site.etc("first").exists()
    assert "Have PostgreSQL read its certificate again" in site.play()
    keys = set()
    for top in ("first", "second"):
        for service, uid in SERVICES.items():
            place = site.etc(f"{top}/secrets/{service}")
            assert trusts(site.etc("first/secrets/go-backend/ca.crt"), place / "tls.crt", place / "tls.key") == service
            keys.add((place / "tls.key").read_bytes())
            for name in ("tls.key", "tls.crt", "ca.crt"):
                status = (place / name).stat()
                assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (uid, uid, 0o400)
    assert len(keys) == 2 * len(SERVICES)
    # The control node has the authority's key, and none of the services'.
    authority = sorted(site.etc("first/ca").rglob("*.key"))
    assert [path.stat().st_mode & 0o7777 for path in authority] == [0o400]
    assert authority[0].read_bytes() not in keys
    before = site.digest()
    assert "changed=0" in (again := site.play()), again
    assert again.count("changed=0") == 2
    assert site.digest() == before
    # As a host that joins a site.
    shutil.rmtree(site.etc("second"))
    # None to the third, which is not needed.
    assert "would issue certificates to postgres, go-backend" in " ".join(site.play("--check").split())
    assert {path.name for path in site.etc("first/secrets").iterdir()} == set(SERVICES)
    assert not site.etc("second").exists()


@pytest.mark.full
def test_what_is_due_is_issued_anew_and_nothing_else(site):
    site.play()
    before = site.digest()
    # Ends too soon; is for another key, as that of a host that was made anew.
    site.etc("second/secrets/postgres/tls.key").unlink()
    said = site.play()
    assert '"postgres": "its certificate is for another key"' in said
    changed = {path.partition("/etc/")[2] for path, found in site.digest().items() if before.get(path) != found}
    assert changed == {
        "second/secrets/postgres/tls.key",
        "second/secrets/postgres/tls.crt",
        "first/ca/issued/localhost/postgres.crt",
    }
    keys = {path: found for path, found in site.digest().items() if path.endswith(".key")}
    said = site.play("-e", "pki_renew_days=100", "-e", "pki_days=120")
    assert said.count("its certificate ends on") == 2 * len(SERVICES)
    assert {path: found for path, found in site.digest().items() if path.endswith(".key")} == keys


@pytest.mark.full
def test_a_rotation_leaves_no_moment_without_trust_and_goes_on_where_it_was_cut_short(site):
    site.play()
    first = site.etc("first/secrets/go-backend/ca.crt").read_text()
    # Cut short after the next key was made and before any host knew of it.
    (site.folder / "next.yml").write_text(
        PLAY.replace("role:", "ansible.builtin.include_role:")
        .replace("roles:", "tasks:")
        .replace("tripod.baremetal.pki", "{name: tripod.baremetal.pki, tasks_from: next}")
    )
    site.play(playbook="next.yml")
    assert len(list(site.etc("first/ca").glob("*.key"))) == 2
    # A usual run has both trusted, and the first one issue.
    site.play()
    both = site.etc("first/secrets/go-backend/ca.crt").read_text()
    assert first in both
    assert both.count("BEGIN CERTIFICATE") == 2
    site.play(playbook=ROTATION)
    last = site.etc("second/secrets/postgres/ca.crt").read_text()
    assert last.count("BEGIN CERTIFICATE") == 1
    assert last != first
    for top in ("first", "second"):
        for service in SERVICES:
            place = site.etc(f"{top}/secrets/{service}")
            assert trusts(place / "ca.crt", place / "tls.crt", place / "tls.key") == service
    former = site.folder / "former.crt"
    former.write_text(first)
    place = site.etc("first/secrets/go-backend")
    with pytest.raises(ssl.SSLCertVerificationError):
        trusts(former, place / "tls.crt", place / "tls.key")
    assert len(list(site.etc("first/ca").glob("*.key"))) == 1
    assert site.play().count("changed=0") == 2


@pytest.mark.full
@pytest.mark.parametrize("words", [("--limit", "here"), ("-e", "tripod_hosts=here")])
def test_a_rotation_leaves_no_host_out_that_has_certificates(site, words):
    site.play()
    before = site.digest()
    said = " ".join(site.refusal(*words, playbook=ROTATION).split())
    assert "have certificates of the authority and are not in this run: localhost" in said
    assert site.digest() == before
    # Of a host that is gone nothing is left there.
    shutil.rmtree(site.etc("first/ca/issued/localhost"))
    site.play(*words, playbook=ROTATION)
    assert len(list(site.etc("first/ca").glob("*.key"))) == 1


@pytest.mark.full
def test_hosts_that_are_gone_are_named_and_what_they_were_issued_is_forgotten(site):
    site.play()
    issued = site.etc("first/ca/issued")
    shutil.copytree(issued / "localhost", issued / "gone")
    before = site.digest()
    said = " ".join(site.refusal(playbook=ROTATION).split())
    assert "are not in this run: gone." in said
    words = """-e '{\\"pki_gone\\": [\\"gone\\"]}'"""
    assert f"This inventory has no gone: those of them that are gone for good are named by {words}" in said
    assert "the inventory has them still" in site.refusal("-e", '{"pki_gone": ["here", "gone"]}', playbook=ROTATION)
    assert "not in this run: gone." in site.refusal("-e", '{"pki_gone": ["..", "gone/../here"]}', playbook=ROTATION)
    assert site.digest() == before
    site.play("-e", '{"pki_gone": ["gone"]}', playbook=ROTATION)
    assert {path.name for path in issued.iterdir()} == {"here", "localhost"}
    assert len(list(site.etc("first/ca").glob("*.key"))) == 1


@pytest.mark.full
def test_an_authority_too_near_its_end_to_issue_stops_only_what_is_due_and_gets_another_key(site):
    said = site.refusal("-e", "pki_authority_days=90")
    assert "raise the first (ten years are usual) or lower the second" in said
    assert not site.etc("first").exists()
    site.play("-e", "pki_authority_days=100")
    late = ("-e", "pki_days=120")
    assert site.play(*late).count("changed=0") == 2
    site.etc("second/secrets/postgres/tls.key").unlink()
    assert "rotate_ca" in site.refusal(*late)
    site.play(*late, playbook=ROTATION)
    assert len(list(site.etc("first/ca").glob("*.key"))) == 1
    for top in ("first", "second"):
        place = site.etc(f"{top}/secrets/postgres")
        assert trusts(place / "ca.crt", place / "tls.crt", place / "tls.key") == "postgres"


@pytest.mark.full
def test_an_authority_that_is_there_is_never_taken_for_none(site):
    site.play()
    keys = list(site.etc("first/ca").glob("*.key"))
    issuer = site.etc("first/ca/issuer")
    first = issuer.read_text()
    # There for root and empty to the run, as below a directory that is closed to who runs it.
    issuer.write_text("")
    for playbook in ("site.yml", ROTATION):
        assert "cannot be read" in site.refusal(playbook=playbook)
    # Cut short between the first key and its issuing.
    issuer.unlink()
    site.play()
    assert issuer.read_text() == first
    assert list(site.etc("first/ca").glob("*.key")) == keys
