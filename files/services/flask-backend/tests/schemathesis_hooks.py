"""Keeps schemathesis from ending the account by which it asks: all that followed would be a 401."""

from __future__ import annotations

import os
from typing import Any

import schemathesis


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Leave out what is done to the account itself."""
    return str((case.path_parameters or {}).get("user_id")) != os.environ["TRIPOD_OWN_USER"]


@schemathesis.hook
def map_query(_context: Any, query: Any) -> Any:
    """Mean the only host: a name that is made up is refused before anything else is looked at."""
    return {name: value for name, value in (query or {}).items() if name != "host"}


@schemathesis.hook
def map_case(_context: Any, case: Any) -> Any:
    """Let the stream of events end: else each of its cases would take an hour, and all its places would be taken."""
    if case.path.endswith("/events") and case.method.upper() == "GET":
        case.query = {**(case.query or {}), "seconds": 1}
    return case
