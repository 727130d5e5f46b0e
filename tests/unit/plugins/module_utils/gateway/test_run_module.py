"""The module, with a server behind it: options, files of secrets, answers; and no secret in any of them."""

from __future__ import annotations

import json

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.run_module import ENVIRONMENT, faults

from tests.support import forked
from tests.support.marchproxy.client import PASSWORD, USER, real_server
from tests.support.marchproxy.serving import served

SERVICE = {"name": "app-a", "ip_fqdn": "node1.example.net", "port": 8080, "auth_type": "jwt"}


@pytest.fixture
def server():
    with served(real_server()) as server:
        yield server


@pytest.fixture
def run(server, monkeypatch):
    for variable in ENVIRONMENT.values():
        monkeypatch.delenv(variable, raising=False)

    def call(check=False, **options):
        given = {"api": server.url, "username": USER, "password": PASSWORD, "app_name": "app", "services": [SERVICE]}
        arguments = {name: value for name, value in {**given, **options}.items() if value is not None}
        found = forked.answer("marchproxy_import", arguments, lambda: None, check)
        assert "traceback" not in found, found
        return found

    return call


def test_import_check_and_import_again(server, run):
    checked = run(check=True)
    assert (checked["changed"], checked["summary"]["created"], server.writes) == (True, ["app-a"], [])
    done = run()
    assert {key: done[key] for key in ("changed", "mode", "cluster_id", "verified")} == {
        "changed": True,
        "mode": "crud",
        "cluster_id": 1,
        "verified": True,
    }
    assert done["diff"] == checked["diff"]
    assert done["table"] == ["create  app-a  http node1.example.net:8080, auth jwt"]
    assert server.services[1].collection == "app"
    again = run()
    assert (again["changed"], again["summary"]["unchanged"], again["table"]) == (False, ["app-a"], ["1 unchanged"])


@pytest.mark.parametrize("name", ["password", "token", "cluster_key"])
def test_a_secret_comes_out_of_a_file(server, run, tmp_path, name):
    token = server.tokens.issue(server.tokens.users[0])["access_token"]
    secret = {"password": PASSWORD, "token": token, "cluster_key": server.clusters[1].key}[name]
    path = tmp_path / "secret"
    path.write_text(f"{secret}\n")
    given = {"username": None, "password": None} if name == "token" else {}
    assert run(**{**given, name: None, f"{name}_file": str(path)})["summary"]["created"] == ["app-a"]


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_of_a_secret_that_is_none(server, run, tmp_path, content):
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    failed = run(password=None, password_file=str(path))
    assert failed["msg"] == f"password_file: {path} is absent, empty or longer than 64 KiB"
    assert server.log == []


def test_the_environment_stands_for_what_is_not_given(server, run, monkeypatch):
    for name, value in {"api": server.url, "username": USER, "password": PASSWORD, "cluster_id": "1"}.items():
        monkeypatch.setenv(ENVIRONMENT[name], value)
    assert run(api=None, username=None, password=None)["summary"]["created"] == ["app-a"]


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_an_empty_variable_of_the_environment_is_none(run, monkeypatch, name):
    monkeypatch.setenv(ENVIRONMENT[name], "")
    if name == "api":
        assert run(api=None)["msg"] == "missing required arguments: api"
    else:
        assert run()["summary"]["created"] == ["app-a"]


def test_no_secret_is_in_any_answer(server, run, tmp_path):
    """2, 3.6: not of what was sent, nor of what every answer of the server has in clear."""
    backup, progress, key = tmp_path / "backup", tmp_path / "progress", server.clusters[1].key
    answers = [
        run(backup=str(backup), progress=str(progress), cluster_key=key),
        run(services=[{**SERVICE, "port": 1}], backup=str(backup), cluster_key=key),
        run(password="a wrong password"),
    ]
    server.fault = lambda number, request: "fail" if request.writes else None
    answers.append(run(services=[{**SERVICE, "port": 2}]))
    assert [bool(answer.get("failed")) for answer in answers] == [False, False, True, True]
    texts = "".join([*map(json.dumps, answers), backup.read_text(), progress.read_text()])
    for secret in (PASSWORD, "a wrong password", key, server.services[1].jwt_secret):
        assert secret not in texts
    tokens = [request.headers["Authorization"] for request in server.log if "Authorization" in request.headers]
    assert tokens
    assert not any(token.removeprefix("Bearer ") in texts for token in tokens)


def test_every_reason_at_once_before_anything_is_asked(server, run):
    failed = run(services=[{**SERVICE, "port": 0, "protocol": "HTTP"}, {**SERVICE, "health_check_interval": 1}])
    for reason in ("port", "protocol", "health_check_interval", "name is already that of"):
        assert reason in failed["msg"]
    assert server.log == []


def test_a_conflict_fails_with_all_that_was_done(server, run):
    server.add(**{**SERVICE, "collection": "other"})
    failed = run(services=[SERVICE, {**SERVICE, "name": "app-b"}])
    assert failed["failed"]
    assert "the gateway does not hold what it is to hold: app-a: the name is taken" in failed["msg"]
    assert (failed["summary"]["conflict"], failed["summary"]["created"]) == (["app-a"], ["app-b"])


def test_a_part_of_an_application_is_imported_without_a_word_of_the_others(server, run):
    server.add(**{**SERVICE, "name": "app-b", "collection": "app"})
    assert "app-b" in json.dumps(run()["warnings"])
    done = run(partial=True)
    assert (done["summary"]["unchanged"], done.get("warnings", [])) == (["app-a"], [])


def test_names_of_one_network_are_warned_of_or_refused(run):
    local = [{**SERVICE, "ip_fqdn": "flask-backend"}]
    assert "'flask-backend' is a name that only its own host" in json.dumps(run(services=local)["warnings"])
    assert "flask-backend" in run(services=local, local_names=False)["msg"]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"prune": True, "state": "absent"}, "prune goes with state present only"),
        ({"prune": True, "services": []}, "prune without any services would remove all of app"),
        ({"restore": "/nowhere"}, "restore takes services from its file"),
        ({"prune": True, "partial": True}, "partial goes without prune and restore"),
        ({"restore": "/nowhere", "services": [], "partial": True}, "partial goes without prune and restore"),
        ({"request_timeout": 30}, "request_timeout 30 s is not above the 30 s"),
        ({"timeout": 40}, "timeout 40 is less than request_timeout 60"),
        ({"api": "localhost"}, "api: 'localhost' is no address"),
        ({"password": None}, "username and password are given together or not at all"),
        ({"mode": "bulk"}, "mode bulk requires cluster_key"),
        ({"username": None, "password": None}, "nobody is given"),
        ({"mode": "crud", "username": None, "password": None, "cluster_key": "0123456789"}, "mode crud requires token"),
        ({"token": "two words"}, "token holds a space"),
    ],
)
def test_options_that_cannot_work(server, run, options, fault):
    assert fault in run(**options)["msg"]
    assert server.log == []


def test_faults_of_nothing_at_all():
    assert len(list(faults({}))) == 2  # no address, nobody
    assert list(faults({"api": "http://localhost:8000", "token_file": "/nowhere"})) == []


def test_progress_says_how_far_it_is(run, tmp_path):
    run(progress=str(tmp_path / "progress"))
    assert (tmp_path / "progress").read_text().startswith("1 of 1 steps, ")
