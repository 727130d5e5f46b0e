"""What the containers may do, and what they give away."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.site import (
    ADMIN,
    ROOT,
    SECRETS,
    SERVICES,
    admin_password,
    cgroup,
    container,
    docker,
    eventually,
    healthy,
    inspect,
    login,
    of_processes,
)

# linux/capability.h. Docker before 23.0 does not know the three, and SYS_ADMIN stands for them.
CAPABILITIES = {"NET_ADMIN": 12, "SYS_ADMIN": 21, "PERFMON": 38, "BPF": 39}
OLD_ENGINE = int(docker("version", "--format", "{{.Server.Version}}").split(".")[0]) < 23
GO_CAPABILITIES = ["SYS_ADMIN"] if OLD_ENGINE else ["BPF", "PERFMON", "NET_ADMIN"]
UNITS = {"M": 1 << 20, "G": 1 << 30}
UIDS = {"flask-backend": 561, "go-backend": 562, "webui": 563, "postgres": 564}


@pytest.mark.parametrize("service", SERVICES)
def test_runs_healthy_and_unprivileged(service):
    facts = inspect(service)
    assert healthy(service)
    assert facts["Config"]["User"].split(":")[0] == str(UIDS[service])
    assert facts["HostConfig"]["ReadonlyRootfs"] is True
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    assert facts["HostConfig"]["Privileged"] is False
    assert facts["HostConfig"]["RestartPolicy"]["Name"] == "always"
    kept = sorted(facts["HostConfig"]["CapAdd"] or [])
    assert kept == (sorted(GO_CAPABILITIES) if service == "go-backend" else [])
    assert bool(facts["HostConfig"]["SecurityOpt"]) is (service != "go-backend")


@pytest.mark.parametrize("service", SERVICES)
def test_its_processes_are_those_of_its_user(service):
    """The kernel's word, not Docker's: every process of the container, its user and what it may still gain."""
    allowed = sum(1 << CAPABILITIES[name] for name in GO_CAPABILITIES) if service == "go-backend" else 0

    def as_meant() -> bool:
        for reported in of_processes(service, "status"):
            status = dict(line.split(":\t", 1) for line in reported.decode().splitlines() if ":\t" in line)
            if set(status["Uid"].split()) != {str(UIDS[service])} or int(status["CapBnd"], 16) != allowed:
                print(status["Name"], status["Uid"], status["CapBnd"])
                return False
        return True

    # What begins a health check is root's until it has given that up.
    eventually(f"only processes of user {UIDS[service]} with capabilities {allowed:#x}", as_meant, seconds=10)


@pytest.mark.parametrize("service", SERVICES)
def test_its_limits_are_the_kernel_s(service):
    """The kernel's word, not Docker's: what the control group of its processes may take, and the size of /dev/shm."""
    role = service.replace("-", "_")
    given = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    memory, shm = (
        int(size[:-1]) * UNITS[size[-1]] for size in (given[f"{role}_memory"], given.get(f"{role}_shm_size", "64M"))
    )
    cpus = given[f"{role}_cpus"]
    limits = cgroup(service)
    assert limits.memory == memory
    assert limits.swap in (None, 0)
    assert limits.pids == given[f"{role}_pids"]
    assert limits.cpus == (cpus or None)
    place = os.statvfs(Path("/proc", str(inspect(service)["State"]["Pid"]), "root", "dev", "shm"))
    assert place.f_blocks * place.f_frsize == shm


@pytest.mark.parametrize("service", SERVICES)
def test_cannot_write_its_root(service):
    shell = {
        "flask-backend": ["python3", "-c", "open('/probe','w')"],
        "webui": ["node", "-e", "fs.writeFileSync('/probe','')"],
    }
    words = shell.get(service, ["touch", "/probe"])
    done = subprocess.run(["docker", "exec", container(service), *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "ead-only file system" in done.stderr + done.stdout


def test_the_database_is_not_published():
    assert inspect("postgres")["NetworkSettings"]["Ports"] in ({}, {"5432/tcp": None})
    assert list(inspect("postgres")["NetworkSettings"]["Networks"]) == ["tripod-db"]


@pytest.mark.parametrize("path", [path for path in SECRETS.rglob("*") if path.is_file()] or [None], ids=str)
def test_secrets_are_files_and_nowhere_else(path):
    assert path is not None, "no secret was found"
    assert path.stat().st_mode & 0o777 == 0o400
    assert path.stat().st_uid == {**UIDS, "nginx": 0, "rabbitmq": 565}[path.parent.name]
    secret = path.read_text(encoding="utf-8")
    assert len(secret) >= 16
    for service in SERVICES:
        assert secret not in docker("inspect", container(service))
        logs = subprocess.run(["docker", "logs", container(service)], capture_output=True, text=True, check=True)
        assert secret not in logs.stdout + logs.stderr
        for variables in of_processes(service, "environ"):
            assert secret.encode() not in variables
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert secret.encode() not in arguments


@pytest.mark.parametrize("email", [ADMIN, "admin@localhost.local", "admin"])
@pytest.mark.parametrize("password", ["admin", "admin123", "changeme123", "password", "tripod", ""])
def test_no_default_password_opens(email, password):
    assert login(email, password).status_code in (400, 401, 429)


@pytest.mark.parametrize("password", ["postgres", "tripod", "pass", ""])
def test_no_default_password_opens_the_database(password):
    done = subprocess.run(
        [
            "docker",
            "exec",
            "-e",
            f"PGPASSWORD={password}",
            container("postgres"),
            "psql",
            "-h",
            "127.0.0.1",
            "-U",
            "tripod",
            "-d",
            "tripod",
            "-c",
            "select 1",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "password" in done.stderr


def test_the_generated_password_opens():
    answer = login(ADMIN, admin_password())
    assert answer.status_code == 200
    assert answer.json()["user"]["role"] == "admin"
