# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The specification's generator of import files: a module to import, and a command for those without Ansible.

In the collection's directory, be it a checkout or installed: ``python3 -m plugins.module_utils._gateway.generator``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from .._core.converge import Change, CoreError, Invalid, converge
from .._core.errors import in_words
from .._core.system import UMASK, Host
from .files import ImportFiles
from .model import MAPPING_KEYS, SERVICE_KEYS
from .model import Route as MarchProxyMapping
from .model import Service as MarchProxyService

__all__ = ["MarchProxyMapping", "MarchProxyService", "generate_marchproxy_config", "write_marchproxy_config"]

DIRECTORY = "config/marchproxy"
DIFFERS = 3  # status of --check where a file would be written

_EXAMPLE = """\
APPLICATION.json, in which only these fields are required of a service:
  {"app_name": "myapp", "services": [{"name": "myapp-flask-api", "ip_fqdn": "api.example.net", "port": 5000}]}

environment:
  APP_VERSION  the application's release, 0.0.0 by default

status: 0 the files are there; 1 something is wrong, and nothing was written; 2 wrong arguments; 3 --check found a
difference
"""


def generate_marchproxy_config(
    app_name: str, services: Sequence[MarchProxyService], mappings: Sequence[MarchProxyMapping] = ()
) -> dict[str, Any]:
    """Return the import document of an application, its release out of APP_VERSION."""
    return _document(app_name, [one.exported() for one in services], [one.exported() for one in mappings])


def write_marchproxy_config(config: Mapping[str, Any], output_dir: str = DIRECTORY) -> None:
    """Write the three import files, if they differ.

    Args:
        config: What ``generate_marchproxy_config`` returned. Names that only a Docker network resolves are accepted.
        output_dir: Made where it is absent.

    Raises:
        Invalid: With everything that a gateway could not hold; nothing was written.
    """
    _write(config, output_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the import files of the application that a JSON file describes, and return the exit status."""
    options = _parser().parse_args(arguments)
    os.umask(UMASK)
    try:
        changes = _write(_read(options.application), options.output, options.local_names, options.check)
    except (CoreError, OSError) as error:
        reasons = getattr(error, "facts", {}).get("reasons") or [in_words(error)]
        sys.stderr.write("".join(f"error: {reason}\n" for reason in reasons))
        return 1
    sys.stdout.write("".join(f"{change.path[0]}\n" for change in changes))
    return DIFFERS if changes and options.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m plugins.module_utils._gateway.generator",
        description=f"{main.__doc__} Prints the path of each file that it writes.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("application", metavar="APPLICATION.json", help="services and mappings; - reads standard input")
    parser.add_argument("--output", metavar="DIRECTORY", default=DIRECTORY, help="of the files (%(default)s)")
    parser.add_argument("--check", action="store_true", help="write nothing, and say which files would be written")
    parser.add_argument(
        "--local-names", action="store_true", help="accept loopback addresses and names that only Docker resolves"
    )
    return parser


def _document(app_name: str, services: Any, mappings: Any) -> dict[str, Any]:
    return {
        "services": services,
        **({"mappings": mappings} if mappings else {}),
        "metadata": {
            "app_name": app_name,
            "generated_by": "project-template",
            "version": os.getenv("APP_VERSION", "0.0.0"),
        },
    }


def _write(
    config: Mapping[str, Any], directory: str, local_names: bool = True, check: bool = False
) -> Sequence[Change]:
    return converge(ImportFiles(os.path.abspath(directory), local_names), config, Host(), check=check).changes


def _read(path: str) -> dict[str, Any]:
    """Return the import document of a file that leaves out what has a default."""
    try:
        if path == "-":
            given = json.load(sys.stdin)
        else:
            with open(path, encoding="utf-8") as file:
                given = json.load(file)
    except ValueError as error:
        raise Invalid(f"{path}: is not JSON: {error}") from error
    if not isinstance(given, Mapping) or not isinstance(given.get("app_name"), str):
        raise Invalid(f'{path}: is no object with a text "app_name": --help shows an example')
    unknown = sorted(given.keys() - {"app_name", "services", "mappings"})
    if unknown:
        raise Invalid(f"{path}: {', '.join(unknown)}: unknown, only app_name, services and mappings are")
    app_name = given["app_name"]
    services = _completed(given.get("services"), MarchProxyService, SERVICE_KEYS, {"collection": app_name})
    mappings = _completed(given.get("mappings", []), MarchProxyMapping, MAPPING_KEYS, {})
    return _document(app_name, services, mappings)


def _completed(entries: Any, kind: type, keys: Sequence[str], own: Mapping[str, Any]) -> Any:
    """Return entries with the defaults of a class of services or mappings; what is none is left to the check."""
    if not isinstance(entries, list):
        return entries
    defaults = {one.name: one.default for one in fields(kind) if one.name in keys and one.default is not MISSING}
    return [{**defaults, **own, **one} if isinstance(one, Mapping) else one for one in entries]


if __name__ == "__main__":
    raise SystemExit(main())
