"""The specification's generator, as a module and as a command."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.generator import (
    MarchProxyMapping,
    MarchProxyService,
    generate_marchproxy_config,
    main,
    write_marchproxy_config,
)

from .sample import GOLDEN, MAPPINGS, SERVICES

ROOT = Path(__file__).resolve().parents[5]
# The specification's own example.
EXAMPLE = [
    MarchProxyService(
        name="myapp-flask-api",
        ip_fqdn="flask-backend",
        port=8080,
        protocol="http",
        collection="myapp",
        auth_type="jwt",
    ),
    MarchProxyService(name="myapp-go-backend", ip_fqdn="go-backend", port=50051, protocol="grpc", collection="myapp"),
]
APPLICATION = {
    "app_name": "myapp",
    "services": [{"name": "myapp-api", "ip_fqdn": "api.example.net", "port": 5000}],
    "mappings": [
        {"name": "myapp-web", "source_services": ["external"], "dest_services": ["myapp-api"], "listen_port": 443}
    ],
}


@pytest.fixture(autouse=True)
def _no_release(monkeypatch):
    monkeypatch.delenv("APP_VERSION", raising=False)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def application(tmp_path):
    path = tmp_path / "application.json"
    path.write_text(json.dumps(APPLICATION))
    return str(path)


def test_the_specifications_example_comes_out_to_the_byte(tmp_path):
    write_marchproxy_config(generate_marchproxy_config("myapp", EXAMPLE), str(tmp_path))
    assert (tmp_path / "import-config.json").read_bytes() == (GOLDEN / "import-config.json").read_bytes()


def test_the_specifications_samples_come_out_to_the_byte(tmp_path):
    config = generate_marchproxy_config(
        "myapp", [MarchProxyService.of(one) for one in SERVICES], [MarchProxyMapping.of(one) for one in MAPPINGS]
    )
    write_marchproxy_config(config, str(tmp_path))
    for name in ("services.json", "mappings.json"):
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_the_release_comes_out_of_the_environment(monkeypatch):
    monkeypatch.setenv("APP_VERSION", "1.4.0")
    assert generate_marchproxy_config("myapp", [])["metadata"]["version"] == "1.4.0"


def test_nothing_is_written_of_what_a_gateway_could_not_hold(tmp_path):
    bad = [MarchProxyService("a", "b", 0), MarchProxyService("a", "b", 70000)]
    with pytest.raises(Invalid) as caught:
        write_marchproxy_config(generate_marchproxy_config("myapp", bad), str(tmp_path / "out"))
    assert len(caught.value.facts["reasons"]) == 3
    assert not (tmp_path / "out").exists()


def test_the_command_fills_in_what_has_a_default(tmp_path, application, capsys):
    output = tmp_path / "out"
    assert main([application, "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{output}/{name}.json" for name in ("services", "mappings", "import-config")
    ]
    (service,) = json.loads((output / "services.json").read_text())["services"]
    assert service["collection"] == "myapp"
    assert (service["protocol"], service["health_check_path"], len(service)) == ("http", "/healthz", 10)
    (mapping,) = json.loads((output / "mappings.json").read_text())["mappings"]
    assert (mapping["protocol"], mapping["path_prefix"], mapping["description"]) == ("https", "/", "")
    assert main([application, "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_checks_without_writing(tmp_path, application, capsys):
    output = tmp_path / "out"
    assert main([application, "--output", str(output), "--check"]) == 3
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert not output.exists()
    assert main([application, "--output", str(output)]) == 0
    assert main([application, "--output", str(output), "--check"]) == 0


def test_the_command_reads_standard_input_and_names_everything_wrong(monkeypatch, tmp_path, capsys):
    services = [{"name": "a", "ip_fqdn": "flask-backend", "port": 0}, "b"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"app_name": "myapp", "services": services})))
    assert main(["-", "--output", str(tmp_path / "out")]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[2].strip()[:12] for line in errors] == ["services[0] ", "services[1]:", "services[0] "]
    assert not (tmp_path / "out").exists()


def test_the_command_accepts_local_names_where_told_to(monkeypatch, tmp_path):
    services = [{"name": "a", "ip_fqdn": "flask-backend", "port": 1}]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"app_name": "myapp", "services": services})))
    assert main(["-", "--output", str(tmp_path), "--local-names"]) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", 'is no object with a text "app_name"'),
        ('{"app_name": 1}', 'is no object with a text "app_name"'),
        ('{"app_name": "a", "service": []}', "service: unknown, only app_name, services and mappings are"),
        ('{"app_name": "a"}', "services: None is not a list"),
        ('{"app_name": "a", "services": [], "mappings": {"a": 1}}', "mappings: {'a': 1} is not a list"),
        ('{"app_name": "", "services": []}', "metadata.app_name: '' has 0 characters"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_input(tmp_path, capsys, text, reason):
    path = tmp_path / "application.json"
    path.write_text(text)
    assert main([str(path), "--output", str(tmp_path / "out")]) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_cannot_read_or_write(tmp_path, application, capsys):
    assert main([str(tmp_path / "none.json")]) == 1
    assert f"error: {tmp_path}/none.json: No such file" in capsys.readouterr().err
    assert main([application, "--output", application]) == 1
    assert application in capsys.readouterr().err


def test_the_command_runs_in_the_collections_directory(tmp_path, application):
    line = [sys.executable, "-m", "plugins.module_utils._gateway.generator", application, "--output", str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    assert done.stderr == ""
    assert json.loads((tmp_path / "import-config.json").read_text())["metadata"]["app_name"] == "myapp"
