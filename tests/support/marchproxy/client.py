"""The collection's client against a server of these tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.http import Http
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.model import Gateway, Route, Service, Settings
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.run import Import, Runner
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.run_report import Report
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials, Session

from .documented import DocumentedServer
from .real import RealServer
from .serving import MockServer, Request

APP, USER, PASSWORD = "app", "admin", "a password of 24 letters"
METADATA = {"app_name": APP, "generated_by": "tests", "version": "1.0.0"}


def real_server(**arguments: Any) -> RealServer:
    """Return a server with one cluster and one administrator."""
    server = RealServer(**arguments)
    server.add_cluster()
    server.tokens.add(USER, PASSWORD)
    return server


def service(name: str, **fields: Any) -> Service:
    """Return a described service."""
    return Service(**{"name": name, "ip_fqdn": "node1.example.net", "port": 8080, "collection": APP, **fields})


def stored(described: Service, **fields: Any) -> dict[str, Any]:
    """Return the fields of a row that is as it is described, but for some."""
    return {**described.exported(), **fields}


def connect(server: MockServer, credentials: Credentials | None = None, **arguments: Any) -> Session:
    """Return a session of the administrator, or for whole imports of the holder of the key."""
    if credentials is None:
        key = server.key if isinstance(server, DocumentedServer) else None
        credentials = Credentials(cluster_key=key, username=USER, password=PASSWORD)
    waits = arguments.pop("waits", [])
    return Session(Http(server.url, credentials.secrets, **arguments), credentials, waits.append)


def import_to(
    server: MockServer,
    services: Sequence[Service],
    mappings: Sequence[Route] = (),
    *,
    session: Session | None = None,
    check: bool = False,
    settings: dict[str, Any] | None = None,
    progress: Callable[..., None] | None = None,
    **request: Any,
) -> Report:
    """Import, and return the report."""
    session = session or connect(server)
    runner = Runner(session.http, session, Host(), check, wait=lambda seconds: None)
    if progress:
        runner.progress = progress
    gateway = Gateway(services, mappings, METADATA)
    return runner.run(Import(gateway, Settings(**{"collection": APP, **(settings or {})}), **request))


def import_in_child(server: MockServer, body: Callable[[], Any]) -> int:
    """Run an import in a process of its own, which a fault of the server's may kill; return what that one ended by."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    server.client = child
    _pid, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def killing(server: MockServer, moment: int, when: str) -> Callable[[int, Request], str | None]:
    """Return a fault that kills the client with its request of that number, before or after it is carried out."""

    def fault(number: int, request: Request) -> str | None:
        if number != moment:
            return None
        if when == "after":
            server.answer(request)
        os.kill(server.client, signal.SIGKILL)
        return "before"

    return fault
