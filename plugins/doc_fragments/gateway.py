# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a MarchProxy gateway is to hold."""

    DOCUMENTATION = r"""
options:
  services:
    description: The services behind the gateway; of an application on several hosts, those that are on none of them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name, 1 to 100 characters; each once. The convention is C(application-service).
        type: str
        required: true
      ip_fqdn:
        description: Address or host name at which the gateway reaches it, 1 to 255 characters.
        type: str
        required: true
      port:
        description: Port, 1 to 65535.
        type: int
        required: true
      protocol:
        description: One of V(http), V(https), V(grpc), V(tcp), V(udp).
        type: str
        default: http
      collection:
        description: Group of services, at most 100 characters. It is also their owner, so the application's name.
        type: str
      auth_type:
        description: One of V(none), V(jwt), V(base64).
        type: str
        default: none
      tls_enabled:
        description: Whether the gateway speaks TLS to the service.
        type: bool
        default: false
      tls_verify:
        description: Whether the gateway verifies the service's certificate; as the gateway has it where not given.
        type: bool
      health_check_enabled:
        description: Whether the gateway checks the service's health. Needs O(services[].health_check_path).
        type: bool
        default: true
      health_check_path:
        description: Path, or gRPC method, of the check. Starts with C(/), at most 255 characters.
        type: str
        default: /healthz
      health_check_interval:
        description: Seconds between checks, 5 or more.
        type: int
        default: 30
  mappings:
    description: Which traffic reaches which service.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name, 1 to 100 characters; each once.
        type: str
        required: true
      description:
        description: A sentence for people.
        type: str
        default: ""
      source_services:
        description: Names of services, or V(external).
        type: list
        elements: str
        required: true
      dest_services:
        description: Names of services, or V(external).
        type: list
        elements: str
        required: true
      listen_port:
        description: Port of the gateway, 1 to 65535.
        type: int
        required: true
      protocol:
        description: One of V(http), V(https), V(grpc), V(tcp), V(udp).
        type: str
        default: https
      path_prefix:
        description: Beginning of the request path, starting with C(/).
        type: str
        default: /
  version:
    description: The application's release in the metadata.
    type: str
    default: 0.0.0
  generated_by:
    description: What made the description, in the metadata.
    type: str
    default: tripod.baremetal
"""
