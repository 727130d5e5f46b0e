"""schemathesis asks the running service, on PostgreSQL, all that its document says it may be asked, and more.

It takes 3 minutes, or as many as TRIPOD_SCHEMATHESIS_MINUTES says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import test_feed as feed
import test_hosts as hosts
import test_policies as policies
import test_workers as workers
from conftest import SECRET
from service import Service, free_port

from tripod_api.gen import backend_pb2_grpc, dataplane_pb2_grpc, host_pb2_grpc, policy_pb2_grpc
from tripod_api.scopes import Scope

pytestmark = pytest.mark.databases("postgres")

SECONDS = 60 * int(os.environ.get("TRIPOD_SCHEMATHESIS_MINUTES", "3"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
# Of the document's paths, those that must have been answered well at least once: else all the rest proves little.
WELL = 12


@pytest.fixture
def peer() -> Iterator[str]:
    """Play go-backend's side of the contract."""
    target = f"127.0.0.1:{free_port()}"
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(policies.Peer(), server)  # type: ignore[no-untyped-call]
    backend_pb2_grpc.add_BackendServiceServicer_to_server(feed.Recording(5), server)  # type: ignore[no-untyped-call]
    dataplane_pb2_grpc.add_DataPlaneServiceServicer_to_server(workers.Peer(), server)  # type: ignore[no-untyped-call]
    host_pb2_grpc.add_HostServiceServicer_to_server(hosts.Host(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(target)
    server.start()
    yield target
    server.stop(None).wait()


def test_nothing_that_is_asked_gets_an_answer_which_the_document_does_not_have(
    start: Callable[..., Service], peer: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    service = start(GO_BACKEND_TARGET=peer, GO_BACKEND_SECRET_FILE=str(tmp_path / "secret"))
    service.wait(service.ready)
    granted = service.login()[1]
    token = service(
        "POST", "/api/v1/tokens", {"name": "fuzz", "scopes": list(Scope), "days": 1}, granted["access_token"]
    )[1]["token"]
    url = f"http://127.0.0.1:{service.port}"
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/api/v1/openapi.json", "--url", url),
        *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS), "--max-time", str(SECONDS)),
        *("--continue-on-failure", "--warnings", "off", "--no-color", "--output-sanitize", "true"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "TRIPOD_OWN_USER": str(granted["user"]["id"])}
    environ = {**os.environ, **hooks, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert service("GET", "/api/v1/auth/me", token=token)[0] == 200, "the account that asked is gone"
    counted = service("GET", "/metrics")[1]
    well = set(re.findall(r'requests_total\{[^}]*route="(/api[^"]*)",status="2\d\d"\} [1-9]', counted))
    assert len(well) >= WELL, f"only {sorted(well)} was answered well\n{done.stdout}"
