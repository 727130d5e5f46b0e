"""Bad input ends in words that name what, where, the limit and the way out, with nothing half done."""

from __future__ import annotations

import http.server
import json
import platform
import re
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.site import NIC, PINS, ROOT, docker, playbook, result

STATE = Path("/etc/tripod/host.d")


def snapshot() -> dict[str, object]:
    """Return what a refused run must leave alone."""
    link = json.loads(
        subprocess.run(["ip", "-json", "-d", "link", "show", NIC], capture_output=True, text=True, check=True).stdout
    )[0]
    policy = {
        name: subprocess.run(
            ["bpftool", "-j", "map", "dump", "pinned", str(PINS / NIC / "maps" / name)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("policy",)
    }
    return {
        "program": link["xdp"]["prog"]["id"],
        "policy": policy,
        "documents": {path.name: path.read_text() for path in sorted(STATE.glob("*.json"))},
        "containers": docker(
            "ps", "--no-trunc", "--filter", "label=org.tripod.collection", "--format", "{{.ID}} {{.Names}}"
        ),
        "object": Path("/var/lib/tripod/bpf/tripod_xdp.bpf.o").read_bytes(),
    }


def messages(done: subprocess.CompletedProcess[str]) -> str:
    """Return what the failed tasks of a run said."""
    return "\n".join(
        str(host.get("msg", "")) + " ".join(str(item.get("msg", "")) for item in host.get("results", []))
        for play in result(done)["plays"]
        for task in play["tasks"]
        for host in task["hosts"].values()
        if host.get("failed")
    )


def refused(*arguments: str) -> str:
    """Run the site with a fault; it must fail and leave everything as it was. Returns what it said."""
    before = snapshot()
    done = playbook("site.yml", *arguments)
    assert done.returncode != 0, "the run must fail"
    assert snapshot() == before
    return messages(done)


def extra(**values: object) -> list[str]:
    return ["-e", json.dumps(values)]


def test_unknown_interface():
    said = refused(*extra(xdp_interfaces=[{"name": "nosuch0"}]))
    assert "nosuch0" in said
    assert NIC in said, "the interfaces that do exist are named"


@pytest.mark.full
def test_missing_object():
    said = refused(*extra(xdp_object="/nonexistent/program.o"))
    assert "/nonexistent/program.o" in said


def test_corrupt_object(tmp_path):
    broken = tmp_path / "program.o"
    broken.write_bytes(b"\x7fELF" + bytes(200))
    said = refused(*extra(xdp_object=str(broken)))
    assert re.search(r"ELF|object", said)


@pytest.mark.parametrize(
    ("prefix", "hint"),
    [("10.0.0.1/33", "32"), ("10.0.0.1/24", "10.0.0.0/24"), ("2001:db8::/129", "128"), ("fish", "fish")],
)
def test_bad_prefix(prefix, hint):
    said = refused(*extra(xdp_acl=[{"prefix": "192.0.2.0/24", "action": "drop"}, {"prefix": prefix, "action": "drop"}]))
    assert prefix in said
    assert hint in said


def test_bad_option():
    said = refused(*extra(xdp_interfaces=[{"name": NIC, "mode": "fast"}]))
    assert "native" in said
    assert "fast" in said


@contextmanager
def somebody_listens(port: int):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_port_in_use():
    with somebody_listens(3999):
        said = refused(*extra(tripod_webui_http_port=3999))
    assert "3999" in said
    assert "tripod_webui_http_port" in said


def test_no_space():
    said = refused(*extra(preflight_disk=[{"path": "/var/lib", "need_bytes": 1 << 60, "what": "images"}]))
    assert "/var/lib" in said
    assert "images" in said


def test_unsupported_system():
    said = refused(*extra(preflight_distributions=["plan9 4"]))
    here = platform.freedesktop_os_release()
    assert f"{here['ID']} {here['VERSION_ID']}" in said
    assert "plan9 4" in said


def test_every_finding_comes_at_once():
    said = refused(
        *extra(
            xdp_interfaces=[{"name": "nosuch0"}],
            preflight_disk=[{"path": "/var/lib", "need_bytes": 1 << 60, "what": "images"}],
            preflight_distributions=["plan9 4"],
        )
    )
    assert "nosuch0" in said
    assert "/var/lib" in said
    assert "plan9 4" in said


def test_wrong_vault_password(tmp_path):
    right, wrong, variables = tmp_path / "right", tmp_path / "wrong", tmp_path / "vault.yml"
    right.write_text("right-password\n")
    wrong.write_text("wrong-password\n")
    variables.write_text("flask_backend_admin_password: chosen-by-hand\n")
    vault = [str(ROOT / ".venv/bin/ansible-vault"), "encrypt", "--vault-password-file", str(right), str(variables)]
    subprocess.run(vault, check=True, capture_output=True)
    before = snapshot()
    done = subprocess.run(
        ["make", "site", f"ARGS=-e @{variables} --vault-password-file {wrong}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "vault" in said.lower()
    assert "ecrypt" in said
    assert "--vault-password-file" in said or "--ask-vault-pass" in said, "the way out is named"
    assert snapshot() == before
