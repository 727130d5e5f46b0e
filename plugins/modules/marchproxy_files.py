#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: marchproxy_files
short_description: Render the import files of the MarchProxy gateway
version_added: 1.0.0
description:
  - Writes C(services.json), C(mappings.json) and C(import-config.json), in the format of the gateway's specification.
  - All limits are enforced before anything is written, and every field out of its limits is reported in one message.
    The gateway itself does not check some of them, and a bad value stored there makes its every answer an error.
  - Of an application on several hosts it makes one description, with a service for each of them.
  - Other files in the directory are left alone.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
  - tripod.baremetal.gateway
options:
  directory:
    description: Where the files go. Made where it is absent.
    type: path
    required: true
  hosts:
    description: The hosts that run the application, in the order of the inventory.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: Name of the host, which ends the names of its services with O(host_names).
        type: str
        required: true
      address:
        description: Address or name at which the gateway reaches the host.
        type: str
        default: ""
      fallback:
        description: Address to take where neither O(hosts[].address) nor a service's C(published) gives one. The host's
          name by default.
        type: str
        default: ""
      services:
        description: The services of this host. Where a mapping names one, it gets that of every host.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: Name, 1 to 100 characters; each once. The convention is C(application-service).
            type: str
            required: true
          ip_fqdn:
            description: Where the service is, if not on this host; then it keeps its name, and hosts that describe it
              alike describe it once.
            type: str
          published:
            description: Address that the service's port is bound to on this host. The gateway gets it where
              O(hosts[].address) is empty and it is not that of all addresses. On a loopback address nobody reaches it.
            type: str
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
            description: Whether the gateway checks the service's health. Needs O(hosts[].services[].health_check_path).
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
  host_names:
    description:
      - Whether the names of services in O(hosts) end in C(-host), as in C(application-service-host). Several hosts need
        it.
      - A name depends on nothing but its own host, so a host that comes or goes changes none of another's. Set it from
        the beginning where a second host may come.
    type: bool
    default: false
  local_names:
    description:
      - Whether loopback addresses and names without a dot are accepted, which only their own host or Docker network
        resolves. RV(local_only) names them then; else they are an error.
    type: bool
    default: false
  app_name:
    description: The application's name in the metadata. Required with O(state=present).
    type: str
  state:
    description: Whether the three files exist.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Render the import files
  tripod.baremetal.marchproxy_files:
    directory: "{{ playbook_dir }}/config/marchproxy"
    app_name: myapp
    services:
      - name: myapp-flask-api
        ip_fqdn: api.example.net
        port: 8080
        collection: myapp
        auth_type: jwt
    mappings:
      - name: myapp-external-api
        description: External REST API access
        source_services: [external]
        dest_services: [myapp-flask-api]
        listen_port: 443
        path_prefix: /api/v1
  delegate_to: localhost

- name: Describe an application that runs on two hosts
  tripod.baremetal.marchproxy_files:
    directory: "{{ playbook_dir }}/config/marchproxy"
    app_name: myapp
    host_names: true
    hosts:
      - host: node1
        address: 192.0.2.11
        services: &services
          - name: myapp-flask-api
            port: 8080
            collection: myapp
      - host: node2
        address: 192.0.2.12
        services: *services
  delegate_to: localhost
"""

RETURN = r"""
changes:
  description: One line for each file that was written or removed, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: ["/srv/site/config/marchproxy/services.json: created"]
files:
  description: Paths of the three files.
  type: list
  elements: str
  returned: success
  sample: [/srv/site/config/marchproxy/services.json]
services:
  description: The services as they are in the files.
  type: list
  elements: dict
  returned: with O(state=present)
  sample: [{"name": "myapp-flask-api-node1", "ip_fqdn": "192.0.2.11", "port": 8080, "protocol": "http"}]
mappings:
  description: The mappings as they are in the files.
  type: list
  elements: dict
  returned: with O(state=present)
  sample: [{"name": "myapp-external-api", "listen_port": 443, "protocol": "https", "path_prefix": "/api/v1"}]
metadata:
  description: The metadata as it is in the files.
  type: dict
  returned: with O(state=present)
  sample: {"app_name": "myapp", "generated_by": "tripod.baremetal", "version": "1.0.0"}
names:
  description: Names of the services of each of O(hosts).
  type: dict
  returned: with O(state=present)
  sample: {"node1": ["myapp-flask-api-node1"]}
local_only:
  description: Services that only their own host or Docker network reaches, with O(local_names), and why.
  type: list
  elements: str
  returned: with O(state=present)
  sample: []
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import Change, converge
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._gateway.files import ImportFiles
from ..module_utils._gateway.model import Gateway
from ..module_utils._gateway.options import HOST, MAPPING, SERVICE
from ..module_utils._gateway.render import FILES, Described, Instance, describe
from ..module_utils._gateway.validate import local_only


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "hosts": {"type": "list", "elements": "dict", "default": [], "options": HOST},
            "services": {"type": "list", "elements": "dict", "default": [], "options": SERVICE},
            "mappings": {"type": "list", "elements": "dict", "default": [], "options": MAPPING},
            "host_names": {"type": "bool", "default": False},
            "local_names": {"type": "bool", "default": False},
            "app_name": {"type": "str"},
            "version": {"type": "str", "default": "0.0.0"},
            "generated_by": {"type": "str", "default": "tripod.baremetal"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["app_name"])],
        supports_check_mode=True,
    )
    with answering(module):
        options = module.params
        described = _described(options) if options["state"] == "present" else None
        resource = ImportFiles(options["directory"], options["local_names"])
        outcome = converge(resource, described and described.document, Host(), check=module.check_mode)
        module.exit_json(
            changed=outcome.changed,
            changes=[f"{change.path[0]}: {_word(change)}" for change in outcome.changes],
            diff=[
                {
                    "before_header": change.path[0],
                    "after_header": change.path[0],
                    "before": change.before or "",
                    "after": change.after or "",
                }
                for change in outcome.changes
            ],
            files=[f"{options['directory']}/{name}" for name in FILES],
            **(_facts(described) if described else {}),
        )


def _described(options: Mapping[str, Any]) -> Described:
    metadata = {key: options[key] for key in ("app_name", "generated_by", "version")}
    instances = [Instance(**one) for one in options["hosts"]]
    return describe(instances, options["services"], options["mappings"], metadata, options["host_names"])


def _facts(described: Described) -> dict[str, Any]:
    gateway = Gateway.of(described.document)
    return {
        "services": [service.exported() for service in gateway.services],
        "mappings": [mapping.exported() for mapping in gateway.mappings],
        "metadata": gateway.metadata,
        "names": described.names,
        "local_only": local_only(described.document),
    }


def _word(change: Change) -> str:
    if change.before is None:
        return "created"
    return "removed" if change.after is None else "rewritten"


if __name__ == "__main__":
    main()
