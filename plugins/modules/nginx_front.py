#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_front
short_description: Run an nginx that serves the web interface and the REST API by TLS
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Runs the distribution's nginx as an instance of its own, with a configuration, a unit (C(tripod-nginx)) and a
    directory below C(/run) of its own. The distribution's service, its sites and C(/etc/nginx) are neither read nor
    changed.
  - The configuration is made for what nginx was built with, as C(nginx -V) tells it - HTTP/2, and HTTP/3 where it has
    it.
  - nginx tries a configuration before it takes the former one's place, and reads it again without a restart. It is
    asked afterwards which one it serves; where that is not the new one, the former is put back, and the module fails.
  - A certificate, a key or an authority whose file changed has it read again.
  - Where no systemd runs it is started in the background, and logs to C(/var/log/tripod-nginx.log).
extends_documentation_fragment:
  - tripod.baremetal.attributes
options:
  state:
    description:
      - With V(present), it serves as requested.
      - With V(renewed), the configuration that is there stays, and is read again where a file that it names changed.
        The other options but O(config) have no effect, and a front that is not there is left so.
      - With V(absent), it is ended and removed.
    type: str
    choices: [present, renewed, absent]
    default: present
  config:
    description: Its configuration, readable by root alone.
    type: path
    default: /etc/tripod/nginx/nginx.conf
  addresses:
    description: Addresses on which it listens.
    type: list
    elements: str
    default: [127.0.0.1]
  port:
    description: HTTPS of the web interface, and of the REST API for it.
    type: int
    default: 443
  api_port:
    description: HTTPS of the REST API alone; V(0) for none.
    type: int
    default: 8443
  redirect_port:
    description: Plain HTTP that leads to O(port); V(0) for none.
    type: int
    default: 0
  certificate:
    description: Certificate on the host, with those between it and the authority. Required with O(state=present).
    type: path
  key:
    description: Its key on the host. Required with O(state=present).
    type: path
  web_address:
    description: Address on which the web interface is published.
    type: str
    default: 127.0.0.1
  web_port:
    description: Its port.
    type: int
    default: 3000
  backend_address:
    description: Address on which the REST API is published.
    type: str
    default: 127.0.0.1
  backend_port:
    description: Its port.
    type: int
    default: 5000
  backend_authority:
    description: Certificates of the authority that issued the API's; empty where the API speaks plain HTTP.
    type: str
    default: ""
  backend_name:
    description: Name in the API's certificate.
    type: str
    default: flask-backend
  secret_file:
    description: File with what the services know the front by. Required with O(state=present).
    type: path
  trusted_proxies:
    description: Networks of proxies in front of it whose C(X-Forwarded-For) is believed.
    type: list
    elements: str
    default: []
  hsts:
    description: For how long browsers are to ask for HTTPS only (seconds).
    type: int
    default: 31536000
  connection_life:
    description: How long a connection takes new requests (seconds).
    type: int
    default: 15
  at_once:
    description: Connections and requests of an address at a time.
    type: int
    default: 128
"""

EXAMPLES = r"""
- name: Serve the site by TLS to everybody
  tripod.baremetal.nginx_front:
    addresses: [0.0.0.0]
    certificate: /etc/ssl/site/fullchain.pem
    key: /etc/ssl/site/key.pem
    secret_file: /etc/tripod/secrets/nginx/front_secret

- name: Have a renewed certificate served
  tripod.baremetal.nginx_front:
    state: renewed
"""

RETURN = r"""
changes:
  description: What was, or would be, done. Configurations are told by a digest.
  returned: success
  type: list
  elements: str
  sample: ["process: absent -> running"]
http3:
  description: Whether nginx was built with HTTP/3.
  returned: with O(state=present)
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.module import respond
from ..module_utils._deploy.nginx_module import OPTIONS, answer


def main() -> None:
    required = [("state", "present", ("certificate", "key", "secret_file"))]
    respond(AnsibleModule(argument_spec=OPTIONS, required_if=required, supports_check_mode=True), answer)


if __name__ == "__main__":
    main()
