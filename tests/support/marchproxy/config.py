"""What the real server tells its proxies (3.5): active rows as they are, illegal values too, because nothing checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .rows import Cluster, Service


def shown_config(cluster: Cluster, active: Iterable[Service], now: float) -> dict[str, Any]:
    """Return ``GET /config/{cluster_id}`` but for its version."""
    return {
        "cluster": {"id": cluster.id, "name": cluster.name},
        "services": [_shown(service) for service in sorted(active, key=lambda row: row.name)],
        "mappings": [],
        "certificates": None,
        "generated_at": repr(now),
    }


def _shown(service: Service) -> dict[str, Any]:
    jwt = {"secret": service.jwt_secret, "expiry": service.jwt_expiry, "algorithm": service.jwt_algorithm}
    health = {
        "enabled": service.health_check_enabled,
        "path": service.health_check_path,
        "interval": service.health_check_interval,
    }
    return {
        **{key: getattr(service, key) for key in ("id", "name", "ip_fqdn", "port", "protocol", "collection")},
        "auth": {
            "type": service.auth_type,
            "token_base64": service.token_base64 if service.auth_type == "base64" else None,
            "jwt": jwt if service.auth_type == "jwt" else None,
        },
        "tls": {"enabled": service.tls_enabled, "verify": service.tls_verify},
        "health_check": health if service.health_check_enabled else None,
        "metadata": None,
    }
