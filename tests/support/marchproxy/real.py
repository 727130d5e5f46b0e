"""MarchProxy's API server as it behaves, without its database; numbers in brackets are sections of the research."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from .config import shown_config
from .rows import (
    CREATE,
    PATCH,
    REQUIRED,
    Cluster,
    Flag,
    Integer,
    Service,
    Text,
    User,
    missing,
    refused_by_database,
    validated,
)
from .serving import Answer, Broken, MockServer, Raised, Request
from .tokens import Tokens

API = "/api/v1"
_PAGE = {"skip": Integer(0), "limit": Integer(1, 1000), "cluster_id": Integer(), "active_only": Flag()}
_ROTATE = {"auth_type": Text(choices=("base64", "jwt"))}
_OPENAPI: dict[str, dict[str, Any]] = {
    f"{API}/services": {"get": {}, "post": {}},
    f"{API}/services/{{service_id}}": {"get": {}, "patch": {}, "delete": {}},
    f"{API}/services/{{service_id}}/rotate-token": {"post": {}},
    f"{API}/clusters": {"get": {}, "post": {}},
    f"{API}/config/{{cluster_id}}": {"get": {}},
}


class RealServer(MockServer):
    """The server.

    Attributes:
        services: Rows by id; a test may write any, as SQL can.
        clusters: Clusters by id.
        tokens: Users and tokens.
        openapi: Whether ``/api/openapi.json`` answers.
        between: Called after a new name was found free and before its row is stored, with nothing locked.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.clock = clock
        self.tokens = Tokens(clock)
        self.services: dict[int, Service] = {}
        self.clusters: dict[int, Cluster] = {}
        self.openapi = True
        self.between: Callable[[], None] = lambda: None
        self._numbers = threading.Lock()
        self._last_id = 0

    # What a test prepares.

    def add_cluster(self, name: str = "default", **fields: Any) -> Cluster:
        """Store a cluster."""
        number = len(self.clusters) + 1
        self.clusters[number] = Cluster(name, **{"key": secrets.token_hex(16), "id": number, **fields})
        return self.clusters[number]

    def add(self, **fields: Any) -> Service:
        """Store a row, legal or not."""
        now = self.clock()
        secret = {"jwt": "jwt_secret", "base64": "token_base64"}.get(fields.get("auth_type", ""))
        given = {**({secret: secrets.token_urlsafe(32)} if secret else {}), **fields}
        service = Service(**{"id": self._next_id(), "created_at": now, "updated_at": now, **given})
        self.services[service.id] = service
        return service

    def named(self, name: str) -> Service:
        """Return the row of a name."""
        return next(service for service in self.services.values() if service.name == name)

    # What a client asks.

    def handle(self, request: Request) -> Answer:
        if request.path == "/healthz":
            return Answer(200, {"status": "healthy"})
        if request.path == "/api/openapi.json" and self.openapi:
            _allowed(request, "GET")
            return Answer(
                200, {"paths": {path: {method: {} for method in methods} for path, methods in _OPENAPI.items()}}
            )
        if not request.path.startswith(f"{API}/"):
            raise Raised(404, "Not Found")
        words = request.path.removeprefix(f"{API}/").split("/")
        if words[-1] == "" and len(words) > 1:
            return Answer(307, "", {"Location": request.path.rstrip("/")})
        handler = {"services": self._services, "clusters": self._clusters, "config": self._config}.get(words[0])
        if handler:
            return handler(request, words[1:])
        posts = {"login": self.tokens.login, "register": self.tokens.register, "refresh": self.tokens.refresh}
        if words[0] == "auth" and len(words) == 2 and words[1] in posts:
            return posts[words[1]](_allowed(request, "POST"))
        if words[0] == "users" and words[2:] == ["cluster-assignments"]:
            return self.tokens.assign(_allowed(request, "POST"), int(words[1]))
        raise Raised(404, "Not Found")

    def _services(self, request: Request, words: list[str]) -> Answer:
        if not words:
            _allowed(request, "GET", "POST")
            user = self.tokens.user(request)
            return self._create(request, user) if request.method == "POST" else self._list(request, user)
        if words[1:] == ["rotate-token"]:
            return self._rotate(_allowed(request, "POST"), self._visible(words[0], self.tokens.user(request)))
        if len(words) > 1:
            raise Raised(404, "Not Found")
        # Of several methods on one path it names only the first (1).
        _allowed(request, "GET", "PATCH", "DELETE", named="GET")
        service = self._visible(words[0], self.tokens.user(request))
        if request.method == "PATCH":
            return self._patch(request, service)
        if request.method == "DELETE":
            return self._delete(request, service)
        return _rendered(service)

    def _visible(self, word: str, user: User) -> Service:
        if not word.isdigit():
            raise Raised(422, [{"type": "int_parsing", "loc": ["path", "service_id"], "msg": "", "input": word}])
        service = self.services.get(int(word))
        if service is None or not (user.is_admin or user.id in service.assigned):
            raise Raised(404, "Service not found or access denied")
        return service

    def _list(self, request: Request, user: User) -> Answer:
        values, errors = validated(request.query, _PAGE, "query")
        if errors:
            raise Raised(422, errors)
        page = {"skip": 0, "limit": 100, "cluster_id": 0, "active_only": True, **values}
        with self.lock:
            # Rows of one moment come in an order that another page need not share (3.4).
            chance = random.Random(f"{page['skip']} {page['limit']}")
            rows = sorted(self.services.values(), key=lambda row: (-row.created_at, chance.random()))
            found = [
                row
                for row in rows
                if (user.is_admin or user.id in row.assigned)
                and page["cluster_id"] in (0, row.cluster_id)
                and (row.is_active or not page["active_only"])
            ]
            shown = found[page["skip"] : page["skip"] + page["limit"]]
            if any(row.poisoned for row in shown):
                raise Broken
            return Answer(200, {"total": len(found), "services": [row.shown() for row in shown]})

    def _create(self, request: Request, user: User) -> Answer:
        values, errors = validated(request.body, {name: kind for name, (kind, _default) in CREATE.items()})
        required = [name for name, (_kind, default) in CREATE.items() if default is REQUIRED]
        errors += missing(request.body, required) if isinstance(request.body, dict) else []
        if errors:
            raise Raised(422, errors)
        if values["cluster_id"] not in self.clusters:
            raise Raised(404, "Cluster not found")
        if not user.is_admin and values["cluster_id"] not in user.clusters:
            raise Raised(403, "No access to this cluster")
        with self.lock:
            if self._taken(values["name"]):
                raise Raised(400, f"Service with name '{values['name']}' already exists")
        self.between()
        whole = {name: default for name, (_kind, default) in CREATE.items() if default is not REQUIRED} | values
        with self.lock:
            if self._taken(values["name"]) or refused_by_database(whole):
                raise Broken  # a unique violation that nobody handles (2)
            whole |= {"jwt_expiry": whole["jwt_expiry"] or 3600, "jwt_algorithm": whole["jwt_algorithm"] or "HS256"}
            service = self.add(**whole, created_by=user.id, assigned=set() if user.is_admin else {user.id})
            return _rendered(service, 201)

    def _taken(self, name: str) -> bool:
        return any(service.name == name for service in self.services.values())

    def _next_id(self) -> int:
        with self._numbers:
            self._last_id += 1
            return self._last_id

    def _patch(self, request: Request, service: Service) -> Answer:
        values, errors = validated(request.body, PATCH)
        if errors:
            raise Raised(422, errors)
        with self.lock:
            others = (row.name for row in self.services.values() if row is not service)
            if refused_by_database(values) or values.get("name", "") in others:
                raise Broken
            vars(service).update(values)
            service.updated_at = self.clock()
            return _rendered(service)

    def _delete(self, request: Request, service: Service) -> Answer:
        values, errors = validated(request.query, {"permanent": Flag()}, "query")
        if errors:
            raise Raised(422, errors)
        with self.lock:
            if not values.get("permanent"):
                service.is_active, service.updated_at = False, self.clock()
            elif service.assigned:
                raise Broken
            else:
                del self.services[service.id]
        return Answer(204)

    def _rotate(self, request: Request, service: Service) -> Answer:
        values, errors = validated(request.body, _ROTATE)
        errors += missing(request.body, _ROTATE) if isinstance(request.body, dict) else []
        if errors:
            raise Raised(422, errors)
        kind, secret = values["auth_type"], secrets.token_urlsafe(32)
        with self.lock:
            vars(service).update({"auth_type": kind, "jwt_secret" if kind == "jwt" else "token_base64": secret})
            service.updated_at = self.clock()
        new = {"new_token": secret if kind == "base64" else None, "new_jwt_secret": secret if kind == "jwt" else None}
        return Answer(200, {"service_id": service.id, "auth_type": kind, **new, "message": "rotated"})

    def _clusters(self, request: Request, words: list[str]) -> Answer:
        user = self.tokens.user(request)
        if words[1:] == ["rotate-api-key"]:
            cluster = self.clusters[int(words[0])]
            cluster.key = secrets.token_hex(16)
            return Answer(200, {"cluster_id": cluster.id, "new_api_key": cluster.key, "message": "rotated"})
        if request.method == "POST":
            if not user.is_admin:
                raise Raised(403, "Admin privileges required")
            self.add_cluster(request.body["name"])
            raise Broken  # always, and the row is stored (3.2)
        values, errors = validated(request.query, _PAGE, "query")
        if errors:
            raise Raised(422, errors)
        found = [
            cluster
            for cluster in self.clusters.values()
            if (user.is_admin or cluster.id in user.clusters)
            and (cluster.is_active or not values.get("active_only", True))
        ]
        if words:
            found = [cluster for cluster in self.clusters.values() if str(cluster.id) == words[0]]
            if not found:
                raise Raised(404, "Cluster not found or access denied")
            return Answer(200, found[0].shown())
        shown = found[values.get("skip", 0) :][: values.get("limit", 100)]
        return Answer(200, {"total": len(found), "clusters": [cluster.shown() for cluster in shown]})

    def _config(self, request: Request, words: list[str]) -> Answer:
        _allowed(request, "GET")
        key = request.headers.get("Cluster-API-Key")
        if key is None:
            raise Raised(422, missing({}, ["cluster-api-key"], "header"))
        cluster = next((one for one in self.clusters.values() if one.key == key), None)
        if cluster is None:
            raise Raised(401, "Invalid cluster API key")
        if words[-1] != str(cluster.id):
            raise Raised(403, "Cluster ID does not match API key")
        active = [row for row in self.services.values() if row.cluster_id == cluster.id and row.is_active]
        whole = shown_config(cluster, active, self.clock())
        whole["config_version"] = hashlib.sha256(repr(whole).encode()).hexdigest()[:32]  # another on every call (3.5)
        if words[0] == "version":
            return Answer(
                200, {key: whole[key] for key in ("config_version", "generated_at")} | {"cluster_id": cluster.id}
            )
        return Answer(200, whole)


def _allowed(request: Request, *methods: str, named: str | None = None) -> Request:
    if request.method not in methods:
        raise Raised(405, "Method Not Allowed", Allow=named or methods[0])
    return request


def _rendered(service: Service, status: int = 200) -> Answer:
    """Return a row, or fail after it was stored (0.4)."""
    if service.poisoned:
        raise Broken
    return Answer(status, service.shown())
