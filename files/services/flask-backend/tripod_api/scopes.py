"""What a caller may do: scopes, of which a role has a fixed set, and an API token some of its owner's."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Role = Literal["admin", "maintainer", "viewer"]


class Scope(StrEnum):
    """A right; operations ask for a scope, never for a role."""

    AUDIT_READ = "audit:read"
    DATAPLANE_READ = "dataplane:read"
    DATAPLANE_TRACE = "dataplane:trace"
    # What is in packets, which is more than how many there were.
    PACKETS_READ = "packets:read"
    POLICY_READ = "policy:read"
    POLICY_WRITE = "policy:write"
    SETTINGS_READ = "settings:read"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    WORKERS_WRITE = "workers:write"


class Access(StrEnum):
    """What an operation needs that no scope names."""

    ANYONE = "anyone"
    # Whoever holds an access token or an API token, whatever it is for.
    SIGNED_IN = "signed in"
    # A person who signed in: an API token must not make others, nor change the password of its owner.
    SESSION = "session"


Need = Scope | Access

_VIEWER = frozenset({Scope.DATAPLANE_READ, Scope.POLICY_READ})
_MAINTAINER = _VIEWER | {
    Scope.DATAPLANE_TRACE,
    Scope.PACKETS_READ,
    Scope.POLICY_WRITE,
    Scope.WORKERS_WRITE,
}
OF_ROLE: dict[Role, frozenset[Scope]] = {
    "viewer": _VIEWER,
    "maintainer": _MAINTAINER,
    "admin": frozenset(Scope),
}


def roles_with(scope: Scope) -> list[Role]:
    """Return the roles that have a scope, the smallest first."""
    return [role for role, scopes in OF_ROLE.items() if scope in scopes]
