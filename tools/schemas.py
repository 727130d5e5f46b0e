"""Write the JSON Schemas that the core checks by, for others to check by: ``.venv/bin/python -m tools.schemas``."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from .console import guarded, say
from .paths import COLLECTIONS, ROOT

PLACE = ROOT / "docs" / "schemas"
CORE = "ansible_collections.tripod.baremetal.plugins.module_utils"


def schemas() -> Mapping[str, Mapping[str, Any]]:
    """Return each schema by its file's name."""
    policy = importlib.import_module(f"{CORE}._policy.schema")
    socket = importlib.import_module(f"{CORE}._agent.policy_shapes")
    gateway = importlib.import_module(f"{CORE}._gateway.schema")
    return {
        "policy.schema.json": policy.SCHEMA,
        "policy-socket.schema.json": socket.schema(),
        "gateway-services.schema.json": gateway.SERVICES_FILE,
        "gateway-mappings.schema.json": gateway.MAPPINGS_FILE,
        "gateway-import-config.schema.json": gateway.IMPORT_FILE,
        "gateway-rollback.schema.json": gateway.ROLLBACK_FILE,
    }


def text(schema: Mapping[str, Any]) -> str:
    """Return a schema as it is in its file."""
    return json.dumps(schema, indent=2) + "\n"


def main() -> int:
    """Write them, and return the exit status."""
    PLACE.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (PLACE / name).write_text(text(schema), encoding="utf-8")
        say(f"docs/schemas/{name}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(COLLECTIONS))
    guarded(main)
