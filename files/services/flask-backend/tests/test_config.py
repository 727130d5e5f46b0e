"""What a start refuses, all at once and before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tripod_api.config import ConfigError, GoBackend, load

STRONG = "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZg"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    found = {"DB_HOST": "postgres", "DB_NAME": "tripod", "DB_USER": "tripod", "ADMIN_EMAIL": "admin@example.com"}
    for name in ("DB_PASSWORD", "JWT_SECRET", "ADMIN_PASSWORD"):
        path = tmp_path / name.lower()
        path.write_text(f"{STRONG}\n")
        found[f"{name}_FILE"] = str(path)
    return found


def test_the_contracts_variables_suffice(environ: dict[str, str]) -> None:
    settings = load(environ)
    assert settings.jwt_secret == settings.database.password == settings.admin_password == STRONG
    assert (settings.http_port, settings.go_backend_target) == (5000, "go-backend:50051")
    assert STRONG not in repr(settings)


def test_the_key_before_is_on_the_second_line(environ: dict[str, str]) -> None:
    path = Path(environ["JWT_SECRET_FILE"])
    path.write_text(f"{STRONG[::-1]}\n{STRONG}")
    settings = load(environ)
    assert settings.jwt_secrets == (STRONG[::-1], STRONG)
    assert STRONG not in repr(settings)
    path.write_text(f"{STRONG}\n\n{'x' * 40}\n{STRONG}\n{STRONG}\n")
    with pytest.raises(ConfigError) as caught:
        load(environ)
    assert f"JWT_SECRET_FILE: {path} has 5 lines, and at most 4 keys are taken" in str(caught.value)
    assert f"JWT_SECRET_FILE: {path} holds 0 bytes, at least 32 are needed" in str(caught.value)
    assert f"JWT_SECRET_FILE: {path} holds a placeholder" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"HTTP_PORT": "70000"}, "HTTP_PORT is '70000', expected a whole number from 1 to 65535"),
        ({"DB_PORT": "x"}, "DB_PORT is 'x'"),
        ({"DB_TYPE": "oracle"}, "DB_TYPE is 'oracle', expected one of postgres, mysql, sqlite"),
        ({"DB_TYPE": "sqlite"}, "SQLite needs the absolute path"),
        ({"DB_HOST": ""}, "DB_HOST is not set"),
        ({"TRUSTED_PROXIES": "1"}, "TRUSTED_PROXIES: '1' is no address and no network; expected"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,nginx"}, "TRUSTED_PROXIES: 'nginx' is no address and no network"),
        ({"TLS_DIRECTORY": "secrets"}, "TLS_DIRECTORY is 'secrets', expected an absolute path"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'LOUD'"),
        ({"JWT_SECRET_FILE": ""}, "JWT_SECRET_FILE is not set"),
        ({"JWT_SECRET_FILE": "/nonexistent"}, "JWT_SECRET_FILE: /nonexistent does not exist"),
        ({"JWT_SECRET_FILE": "/"}, "JWT_SECRET_FILE: cannot read /: Is a directory"),
    ],
)
def test_bad_variables_are_refused(environ: dict[str, str], changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ | changes)
    assert message in str(caught.value)


def test_with_certificates_the_database_needs_one_of_theirs(environ: dict[str, str]) -> None:
    assert load(environ).database.authority == ""
    assert load(environ | {"TLS_DIRECTORY": "/run/secrets"}).database.authority == "/run/secrets/ca.crt"


@pytest.mark.parametrize("name", ["DB_PASSWORD_FILE", "JWT_SECRET_FILE", "ADMIN_PASSWORD_FILE"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "\n",
        "short",
        "changeme",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "dev-secret-key-change-in-production!!",
    ],
)
def test_weak_secrets_are_refused_and_never_shown(environ: dict[str, str], name: str, value: str) -> None:
    Path(environ[name]).write_text(value)
    with pytest.raises(ConfigError, match=name) as caught:
        load(environ)
    assert not value.strip() or value not in str(caught.value)


def test_all_faults_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load({})
    for name in ("DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD_FILE", "JWT_SECRET_FILE", "ADMIN_EMAIL"):
        assert name in str(caught.value)


def test_hosts_are_named_each_with_its_own_secret(environ: dict[str, str], tmp_path: Path) -> None:
    only = load(environ | {"GO_BACKENDS": "[]", "GO_BACKEND_TARGET": "there:1"})
    assert [(one.name, one.target) for one in only.go_backends] == [("go-backend", "there:1")]
    (tmp_path / "second").write_text(STRONG)
    told = [
        {"name": "edge1", "target": "go-backend:50051"},
        {"name": "edge2", "target": "[::1]:50051", "tls_name": "go-backend.edge2", "secret_file": f"{tmp_path}/second"},
    ]
    settings = load(environ | {"GO_BACKENDS": json.dumps(told)})
    assert settings.go_backends == (
        GoBackend("edge1", "go-backend:50051"),
        GoBackend("edge2", "[::1]:50051", STRONG, "go-backend.edge2"),
    )
    assert STRONG not in repr(settings)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("edge1", 'GO_BACKENDS: expected a list such as [{"name": "edge1", "target": "10.0.0.1:50051"}]'),
        ('["edge1"]', "GO_BACKENDS: expected a list such as"),
        ('[{"name": "edge1"}]', "GO_BACKENDS[0]: expected"),
        ('[{"name": "a", "target": "x:1", "secret": "x"}]', "beside these two it may have tls_name and secret_file"),
        ('[{"name": "a", "target": 1}]', "all texts"),
        ('[{"name": "a b", "target": "x:1"}]', "GO_BACKENDS[0]: the name is 'a b', expected up to 64 letters"),
        ('[{"name": "a", "target": "x:1"}, {"name": "a", "target": "y:1"}]', "GO_BACKENDS names a more than once"),
        (json.dumps([{"name": f"a{n}", "target": "x:1"} for n in range(33)]), "33 hosts, and 32 are the limit"),
    ],
)
def test_hosts_that_cannot_be_told_apart_or_asked_are_refused(environ: dict[str, str], told: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ | {"GO_BACKENDS": told})
    assert message in str(caught.value)
