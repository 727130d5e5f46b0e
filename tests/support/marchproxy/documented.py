"""MarchProxy's API as its specification has it: a bulk import and CRUD with ``PUT``, both by the cluster's key."""

from __future__ import annotations

from typing import Any

from .serving import Answer, MockServer, Raised, Request

API = "/api/v1"
_OPENAPI: dict[str, dict[str, Any]] = {
    f"{API}/services": {"get": {}, "post": {}},
    f"{API}/services/import": {"post": {}},
    f"{API}/services/{{id}}": {"put": {}, "delete": {}},
}


class DocumentedServer(MockServer):
    """The server.

    Attributes:
        key: The cluster's key, the only one it accepts.
        services: Rows by id.
        mappings: Mappings by name.
        openapi: Whether ``/api/openapi.json`` answers.
        lists: Whether ``GET /services`` answers, so that what was imported can be read back.
        drops: Fields that are lost on the way, for a server that accepts what it does not keep.
    """

    def __init__(self, key: str = "0123456789abcdef") -> None:
        super().__init__()
        self.key = key
        self.services: dict[int, dict[str, Any]] = {}
        self.mappings: dict[str, dict[str, Any]] = {}
        self.metadata: dict[str, Any] = {}
        self.openapi = True
        self.lists = True
        self.drops: set[str] = set()

    def handle(self, request: Request) -> Answer:
        if request.path == "/api/openapi.json" and self.openapi:
            return Answer(200, {"paths": _OPENAPI})
        if not request.path.startswith(f"{API}/services"):
            raise Raised(404, "Not Found")
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            raise Raised(401, "Invalid API key")
        tail = request.path.removeprefix(f"{API}/services").strip("/")
        with self.lock:
            if (request.method, tail) == ("POST", "import"):
                return self._import(request.body)
            if (request.method, tail) == ("GET", "") and self.lists:
                return Answer(200, {"services": list(self.services.values())})
        raise Raised(405, "Method Not Allowed", Allow="GET, POST")

    def _import(self, body: Any) -> Answer:
        if not isinstance(body, dict) or not isinstance(body.get("services"), list):
            raise Raised(
                422, [{"type": "missing", "loc": ["body", "services"], "msg": "Field required", "input": body}]
            )
        ids = {row["name"]: number for number, row in self.services.items()}
        for service in body["services"]:
            number = ids.get(service["name"], len(self.services) + 1)
            kept = {key: value for key, value in service.items() if key not in self.drops}
            self.services[number] = {"id": number, "jwt_secret": "a secret of the server's", **kept}
        self.mappings |= {mapping["name"]: mapping for mapping in body.get("mappings", [])}
        self.metadata = body.get("metadata", {})
        return Answer(200, {"message": f"{len(body['services'])} services imported"})
