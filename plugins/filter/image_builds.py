# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the builds of the services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = r"""
name: image_builds
short_description: The images to build for a list of services
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Lists, in the order to build them, the base that images run on, the build base with this site's certificates, the
    services, and the XDP object, as M(tripod.baremetal.image_build) takes them.
positional: app, files, workdir, ca_bundle, base, uids
options:
  _input:
    description: Services by the name of their folder below C(files/services).
    type: list
    elements: str
    required: true
  app:
    description: First part of the repositories' names.
    type: str
    required: true
  files:
    description: The collection's C(files) folder on the builder.
    type: path
    required: true
  workdir:
    description: Where the XDP object and the services' bills of materials go on the builder.
    type: path
    required: true
  ca_bundle:
    description: Certificates (PEM) that builds trust.
    type: path
    required: true
  base:
    description: Result of M(tripod.baremetal.base_image).
    type: dict
    required: true
  uids:
    description: The user that a service's image runs as, by service; the Dockerfile's own for one that is not named.
    type: dict
    default: {}
    version_added: 1.1.0
"""

EXAMPLES = r"""
- name: See what would be built
  ansible.builtin.debug:
    msg: "{{ ['webui'] | tripod.baremetal.image_builds('tripod', '/usr/src', '/var/cache', '/etc/ca.pem', base) }}"
"""

RETURN = r"""
_value:
  description: Images for M(tripod.baremetal.image_build).
  type: list
  elements: dict
"""


def image_builds(
    services: Sequence[str],
    app: str,
    files: str,
    workdir: str,
    ca_bundle: str,
    base: Mapping[str, Any],
    uids: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the builds in order: runtime base, build base, services, XDP object."""
    uids = uids or {}
    # The base's ID, not the certificates, decides whether an image is stale: certificates do not outlive the build.
    common: dict[str, Any] = {"inputs": [base["image_id"]]}
    of_base = {"args": {"BASE": base["name"]}, **common}
    runtime_base = {"name": f"{app}/runtime-base", "context": f"{files}/services/base", **of_base}
    build_base = {
        "name": f"{app}/build-base",
        "context": f"{files}/services/build-base",
        "extra_files": {"ca-certificates.crt": ca_bundle},
        **of_base,
    }
    from_build_base = {"args_from": {"BUILD_BASE": build_base["name"]}, **common}
    from_both = {
        "args_from": {"BASE": runtime_base["name"], "BUILD_BASE": build_base["name"]},
        "inputs_from": [runtime_base["name"]],
        **common,
    }
    built = [
        # Each service's tests are stages behind this one: whoever deploys does not run them.
        {
            "name": f"{app}/{service}",
            "context": f"{files}/services/{service}",
            "target": "runtime",
            "sbom_to": f"{workdir}/{service}-{{tag}}.spdx.json",
            "args": {"SERVICE_UID": str(uids[service])} if service in uids else {},
            **from_both,
        }
        for service in services
    ]
    xdp_object = {
        "name": f"{app}/xdp-object",
        "context": f"{files}/bpf",
        "export_from": "/tripod_xdp.bpf.o",
        "export_to": f"{workdir}/tripod_xdp-{{tag}}.bpf.o",
        **from_build_base,
    }
    return [runtime_base, build_base, *built, xdp_object]


class FilterModule:
    """The collection's filters on image builds."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"image_builds": image_builds}
