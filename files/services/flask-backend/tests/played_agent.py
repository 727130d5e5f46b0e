"""A host's agent with one policy, for real go-backends: it takes what they carry, and loads nothing."""

from __future__ import annotations

import json
import socketserver
import threading
from pathlib import Path
from typing import Any

NOW = "2026-01-01T00:00:00Z"


class PlayedAgent:
    """The agent, on its Unix socket until `close`.

    Args:
        path: The socket.

    Attributes:
        own: The API's part of the policy.
        owners: Whose the revisions are, the oldest first.
    """

    def __init__(self, path: Path) -> None:
        self.own: dict[str, Any] = {}
        self.owners = ["inventory"]
        agent = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked = json.loads(self.rfile.readline())
                result = getattr(agent, asked["op"])(asked)
                self.wfile.write(json.dumps({"id": asked["id"], "ok": True, "result": result}).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def change(self, own: dict[str, Any]) -> None:
        """Take a part of the API's."""
        self.own = own
        self.owners.append("api")

    def reinstall(self) -> None:
        """Be a host that was made anew."""
        self.own, self.owners = {}, ["inventory"]

    def _state(self) -> dict[str, Any]:
        told = {"name": "edge", "digest": f"{len(self.owners)} {json.dumps(self.own)}", "interfaces": ["ens1"]}
        return {**told, "revision": len(self.owners), "pending": None}

    def status(self, _asked: dict[str, Any]) -> dict[str, Any]:
        """Answer like the agent, as all that follow."""
        return {"policies": [self._state()], "bans": 0}

    def slots(self, _asked: dict[str, Any]) -> dict[str, Any]:
        return {"interfaces": {}}

    def get(self, _asked: dict[str, Any]) -> dict[str, Any]:
        return {**self._state(), "document": {}, "own": self.own}

    def history(self, _asked: dict[str, Any]) -> dict[str, Any]:
        told = {"time": NOW, "by": "", "name": "", "why": "", "digest": "", "summary": [], "state": "superseded"}
        return {
            "revisions": [{**told, "revision": at, "owner": owner} for at, owner in enumerate(self.owners, 1)][::-1]
        }

    def put(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["expected"] == len(self.owners)
        self.change(asked["document"])
        told: dict[str, Any] = {"changed": True, "revision": len(self.owners), "pending": None}
        return {**told, "summary": ["list guests: new"], "flips": [], "warnings": []}
