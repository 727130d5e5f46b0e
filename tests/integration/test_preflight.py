"""Ports held by real processes and by real containers."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.modules import Run, run_module

LABEL = f"org.tripod.test=preflight-{os.getpid()}"
IMAGE = os.environ.get("TRIPOD_BASE", "debian:stable-slim")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def preflight(*ports: int, **options: Any) -> Run:
    services = [{"port": port, "name": f"service-{port}", "variable": f"port_{port}"} for port in ports]
    here = {"distributions": [distribution()]}  # which one is not the question here
    return run_module("preflight", {"ports": services, "container_label": LABEL, **here, **options})


def distribution() -> str:
    found = platform.freedesktop_os_release()
    return f"{found['ID']} {found['VERSION_ID']}"


@contextmanager
def container(*words: str) -> Iterator[None]:
    run = ["docker", "run", "-d", "--rm", "--label", LABEL, *words]
    number = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield
    finally:
        subprocess.run(["docker", "rm", "-f", number], check=True, capture_output=True)


def test_a_foreign_process_on_a_port_is_named() -> None:
    port = free_port()
    command = [sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout
            server.stdout.readline()
            outcome = preflight(port)
        finally:
            server.terminate()
    assert outcome.failed
    (finding,) = outcome.result["findings"]
    assert f"process {server.pid} (" in finding["found"]
    assert "-m http.server" in finding["found"]
    assert f"set port_{port} to another port" in finding["remedy"]
    assert outcome.result["table"] in outcome.result["msg"]


@pytest.mark.parametrize("network", ["bridge", "host"])
def test_a_port_of_our_own_container_passes_and_of_another_one_does_not(network: str) -> None:
    port = free_port()
    listen = f"$s = IO::Socket::INET->new(LocalPort => {port}, Listen => 1) or die; print qq(up\\n); sleep 120"
    words = ("--network", "host") if network == "host" else ("-p", f"{port}:{port}")
    with container("--name", f"preflight-{port}", *words, IMAGE, "perl", "-MIO::Socket::INET", "-e", f"$|=1; {listen}"):
        wait_for(port)
        ours = preflight(port)
        assert ours.result["passed"], ours.result
        assert not ours.changed
        foreign = preflight(port, container_label="org.tripod.test=other", fail=False)
    assert not foreign.failed
    assert not foreign.result["passed"]
    assert all(f"port {port}/tcp" in finding["subject"] for finding in foreign.result["findings"])


def test_everything_is_reported_at_once() -> None:
    outcome = preflight(
        kernel="99.0",
        memory_bytes=2**60,
        interfaces=["lo", "nosuch0", "later0"],
        pending_interfaces=["later0"],
        disk=[{"path": "/var/lib/nosuch/deep", "need_bytes": 2**60, "what": "images"}],
        commands=[{"name": "nosuch-command", "package": "nosuch"}],
    )
    assert outcome.failed
    subjects = [finding["subject"] for finding in outcome.result["findings"]]
    assert [one.split()[0] for one in subjects] == ["kernel", "memory", "disk", "interface", "command"]
    assert not os.path.exists("/var/lib/nosuch")


def wait_for(port: int) -> None:
    desired = f":{port:04X} "
    for _unused in range(200):
        if any(desired in Path(f"/proc/net/{table}").read_text() for table in ("tcp", "tcp6")):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port} after 10 s")
