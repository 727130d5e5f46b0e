"""The specification's samples, and small changes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden")
SERVICES: list[dict[str, Any]] = json.loads((GOLDEN / "services.json").read_text())["services"]
MAPPINGS: list[dict[str, Any]] = json.loads((GOLDEN / "mappings.json").read_text())["mappings"]
METADATA = {"app_name": "myapp", "generated_by": "project-template", "version": "0.0.0"}
SAMPLE: dict[str, Any] = {"services": SERVICES, "mappings": MAPPINGS, "metadata": METADATA}


def with_service(index: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the sample with other fields in one service."""
    services = [{**one, **fields} if place == index else one for place, one in enumerate(SERVICES)]
    return {**SAMPLE, "services": services}


def with_mapping(index: int = 0, **fields: Any) -> dict[str, Any]:
    """Return the sample with other fields in one mapping."""
    mappings = [{**one, **fields} if place == index else one for place, one in enumerate(MAPPINGS)]
    return {**SAMPLE, "mappings": mappings}
