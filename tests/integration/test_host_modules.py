"""Modules that need nothing but this machine's files, as Ansible runs them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from tests.integration import lab
from tests.support.modules import run_module

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/unit/plugins/module_utils/gateway/golden"


def test_secrets_are_in_no_output(tmp_path: Path) -> None:
    first, second, given = (tmp_path / name for name in ("db/password", "api/password", "token"))
    options = {
        "secrets": [
            {
                "name": "password",
                "copies": [{"path": str(first), "owner": 10004, "group": 10004}, {"path": str(second), "owner": 10001}],
            },
            {"name": "token", "value": "an-operators-own-token", "copies": [{"path": str(given)}]},
        ]
    }
    predicted = run_module("secret_files", options, check=True)
    assert predicted.changed
    assert os.listdir(tmp_path) == []

    made = run_module("secret_files", options, verbose=True)
    assert made.result["changes"] == predicted.result["changes"]
    value = first.read_text()
    assert second.read_text() == value
    assert given.read_text() == "an-operators-own-token"
    status = first.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o400, 10004, 10004)
    for run in (predicted, made):
        assert value not in run.output + json.dumps(run.result)
        assert "an-operators-own-token" not in run.output + json.dumps(run.result)

    again = run_module("secret_files", options)
    assert not again.changed
    assert again.result["generation"] == made.result["generation"]
    assert run_module("secret_files", {**options, "state": "absent"}).changed
    assert os.listdir(tmp_path) == []


def test_import_files_show_a_text_diff(tmp_path: Path) -> None:
    options = {
        "directory": str(tmp_path / "marchproxy"),
        "app_name": "myapp",
        "local_names": True,
        **json.loads((GOLDEN / "services.json").read_text()),
        **json.loads((GOLDEN / "mappings.json").read_text()),
    }
    predicted = run_module("marchproxy_files", options, check=True)
    assert predicted.changed
    assert os.listdir(tmp_path) == []
    assert '+      "name": "myapp-flask-api",' in predicted.output
    assert run_module("marchproxy_files", options).changed
    for name in ("services.json", "mappings.json"):
        assert (tmp_path / "marchproxy" / name).read_bytes() == (GOLDEN / name).read_bytes()
    assert not run_module("marchproxy_files", options).changed

    options["mappings"][0]["listen_port"] = 8443
    changed = run_module("marchproxy_files", options)
    assert '-      "listen_port": 443,\n+      "listen_port": 8443,' in changed.output
    assert run_module("marchproxy_files", {"directory": options["directory"], "state": "absent"}).changed
    assert os.listdir(tmp_path / "marchproxy") == []


def test_the_topology_shows_a_veth_as_the_kernel_knows_it(cable: lab.Cable) -> None:
    found = run_module("host_topology_info")
    assert not found.changed
    (nic,) = [one for one in found.result["nics"] if one["name"] == cable.nic]
    assert (nic["kind"], nic["driver"]) == ("veth", "veth")
    assert nic["rings"] is None
    assert nic["pci_address"] is None
    assert "basic" in nic["xdp"]["features"]
    assert (nic["xdp"]["mode"], nic["xdp"]["programs"]) == (None, {})
    assert found.result["kernel"]["release"] == os.uname().release
