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
  - Other files in the directory are left alone.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  directory:
    description: Where the files go. Made where it is absent.
    type: path
    required: true
  services:
    description: The services behind the gateway.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name, 1 to 100 characters; each once. The convention is C(application-service).
        type: str
        required: true
      ip_fqdn:
        description: Address or host name, 1 to 255 characters.
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
        description: Group for bulk operations, at most 100 characters.
        type: str
      auth_type:
        description: One of V(none), V(jwt), V(base64).
        type: str
        default: none
      tls_enabled:
        description: Whether the gateway speaks TLS to the service.
        type: bool
        default: false
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
        description: Names out of O(services), or V(external).
        type: list
        elements: str
        required: true
      dest_services:
        description: Names out of O(services), or V(external).
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
  app_name:
    description: The application's name in the metadata. Required with O(state=present).
    type: str
  version:
    description: The application's version in the metadata.
    type: str
    default: 0.0.0
  generated_by:
    description: What made the files, in the metadata.
    type: str
    default: tripod.baremetal
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
        ip_fqdn: flask-backend
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
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import Change, converge
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.marchproxy_files import FILES, MAPPING, SERVICE, Gateway, ImportFiles


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "services": {"type": "list", "elements": "dict", "default": [], "options": SERVICE},
            "mappings": {"type": "list", "elements": "dict", "default": [], "options": MAPPING},
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
        desired = None
        if options["state"] == "present":
            metadata = {key: options[key] for key in ("app_name", "generated_by", "version")}
            desired = Gateway(options["services"], options["mappings"], metadata)
        outcome = converge(ImportFiles(options["directory"]), desired, Host(), check=module.check_mode)
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
        )


def _word(change: Change) -> str:
    if change.before is None:
        return "created"
    return "removed" if change.after is None else "rewritten"


if __name__ == "__main__":
    main()
