#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: marchproxy_import
short_description: Bring the services of a MarchProxy gateway to what is described
version_added: 2.0.0
description:
  - Brings an application's services on a MarchProxy API server to what is described, by name and collection. What is
    right already is not touched, and what differs is changed by the smallest request.
  - Finds out whether the server has the documented import, or creates, changes and removes single services. It never
    goes from one to the other because something was refused, such as a key.
  - A service of another collection, or of another cluster, is somebody else's. One that has a name of ours is a
    conflict, is not touched, and fails the task; the others are imported all the same, but with O(strict).
  - After an answer that does not say what is stored now, such as an error or a lost connection, it reads the server's
    list and goes on from there. So does the next run, wherever one was ended.
  - Sends one request after the other, each on a connection of its own, because the server freezes when many come at
    once. Never creates a cluster, and never makes a new key for one.
  - A row with an illegal value makes each list of the server an error for everybody. One of O(app_name) is repaired; of
    others a warning says which they are.
  - That something is on the server says nothing about its proxies, which take it from there.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes
  - tripod.baremetal.gateway
options:
  api:
    description:
      - Address of the API server, without C(/api/v1). The environment's C(MARCHPROXY_API) where not given.
      - Redirections are not followed, and no proxy of the environment is used.
    type: str
    required: true
  ca_file:
    description: Certificates to trust for an C(https) address, instead of the system's.
    type: path
  cluster_key:
    description:
      - The cluster's key, which the documented import requires. Of a server of single requests it says whether the
        cluster is the one that is meant, and which rows make its list an error.
      - The environment's C(CLUSTER_API_KEY) where not given.
    type: str
  cluster_key_file:
    description: File that holds the same, and is taken before it.
    type: path
  token:
    description:
      - Access token, which a server of single requests requires, or O(username). It lives for thirty minutes.
      - The environment's C(MARCHPROXY_TOKEN) where not given.
    type: str
  token_file:
    description: File that holds the same, and is taken before it.
    type: path
  username:
    description:
      - Who logs in where there is no token, or once it is refused. The environment's C(MARCHPROXY_USERNAME) where not
        given.
      - A user that is no administrator sees, and so changes, only services that it made itself.
    type: str
  password:
    description: Of that user. The environment's C(MARCHPROXY_PASSWORD) where not given.
    type: str
  password_file:
    description: File that holds the same, and is taken before it.
    type: path
  totp_code:
    description:
      - The six digits of that user's second factor. The environment's C(MARCHPROXY_TOTP_CODE) where not given.
      - It is good for one login. A run that nobody watches wants a user without one.
    type: str
  cluster:
    description: Name of the cluster. Where neither it nor its id is given, the only active one that the user sees.
    type: str
  cluster_id:
    description: Id of the cluster. The environment's C(MARCHPROXY_CLUSTER_ID) where not given.
    type: int
  mode:
    description:
      - V(bulk) for the documented import, which O(cluster_key) is for. V(auto) for what the server has.
      - V(crud) for single requests, on the server as it is, by a user's login or token and for one of its clusters.
        A server that has no more than the documented API has neither users nor clusters, so V(crud) fails there.
    type: str
    choices: [auto, bulk, crud]
    default: auto
  app_name:
    description: The application's name, and the collection of its services.
    type: str
    required: true
  local_names:
    description:
      - Whether loopback addresses and names without a dot are accepted, which only their own host or Docker network
        resolves. Each is a warning then, else an error.
    type: bool
    default: true
  state:
    description:
      - Whether the described services are there, or are removed. The server keeps what is removed, inactive.
      - With V(drained) they get no traffic and are otherwise as they were; V(present) brings them back. The documented
        API has no way to do so.
    type: str
    choices: [present, absent, drained]
    default: present
  prune:
    description: Whether services of O(app_name) in the same cluster that are not described are removed.
    type: bool
    default: false
  partial:
    description:
      - Whether what is described is only some of O(app_name), such as the services of one host, so that nothing is said
        of the others. Neither with O(prune) nor with O(restore).
    type: bool
    default: false
  grpc_as:
    description:
      - What a service of protocol V(grpc) becomes on a server of single requests, which refuses that one. V(tcp) hands
        HTTP/2 through untouched. With V(http) the proxy speaks HTTP/1.1, and health is not checked. V(fail) refuses.
      - The documented import gets it as it is.
    type: str
    choices: [tcp, http, fail]
    default: tcp
  strict:
    description:
      - Whether what the server cannot do is a failure instead of a warning, such as mappings, which only the documented
        import takes.
      - With it nothing is written where there is such a thing, or a conflict.
    type: bool
    default: false
  backup:
    description:
      - File that the services of O(app_name) are written to, as they are before the first request that writes; mode
        C(0600), without secrets. After a run that did not come to its end it stays, until one does.
    type: path
  restore:
    description:
      - Such a file. What it holds is brought back, and what it does not hold is removed. One of another server, cluster
        or application is refused.
    type: path
  receipt:
    description:
      - File that says what the documented import accepted last; mode C(0600). That API lists no mappings, so without
        the file they are sent each time, and count as changed.
    type: path
  progress:
    description: File with one line that says how far it is, written every second.
    type: path
  request_timeout:
    description: Seconds for one request, more than 30, for which the server can stand still.
    type: float
    default: 60
  timeout:
    description: Seconds for all of them.
    type: float
    default: 3600
"""

EXAMPLES = r"""
- name: Import the application
  tripod.baremetal.marchproxy_import:
    api: https://gateway.example.com:8000
    username: tripod
    password_file: /etc/tripod/secrets/marchproxy/password
    cluster: production
    app_name: myapp
    services:
      - name: myapp-flask-api
        ip_fqdn: node1.example.com
        port: 8080
        auth_type: jwt
    backup: /var/backups/marchproxy-myapp.json
  delegate_to: localhost

- name: Take one host out of traffic
  tripod.baremetal.marchproxy_import:
    api: https://gateway.example.com:8000
    token_file: /run/secrets/marchproxy-token
    app_name: myapp
    state: drained
    partial: true
    services:
      - name: myapp-flask-api-node2
        ip_fqdn: node2.example.com
        port: 8080
  delegate_to: localhost

- name: Go back to what was there before the import
  tripod.baremetal.marchproxy_import:
    api: https://gateway.example.com:8000
    token_file: /run/secrets/marchproxy-token
    app_name: myapp
    restore: /var/backups/marchproxy-myapp.json
  delegate_to: localhost
"""

RETURN = r"""
changes:
  description: One line for each field that was changed, and for each service that was created, or would be.
  type: list
  elements: str
  returned: success or a conflict
  sample: ["myapp-webui: create", "myapp-flask-api port: 8080 -> 5000"]
cluster_id:
  description: Id of the cluster; none where the documented import has no field for it.
  type: int
  returned: success or a conflict
  sample: 1
mode:
  description: How the server takes services, V(bulk) or V(crud).
  type: str
  returned: success or a conflict
  sample: crud
plan:
  description:
    - What became of each service and mapping, or would. Its action is one of C(create), C(update), C(revive),
      C(rotate-token), C(delete), C(unchanged), C(conflict), C(unsupported).
  type: list
  elements: dict
  returned: success or a conflict
  sample:
    - {name: myapp-flask-api, action: update, id: 3, before: {port: 8080}, after: {port: 5000}, reason: ""}
requests:
  description: How many requests were sent.
  type: int
  returned: success or a conflict
  sample: 6
seconds:
  description: How long they took.
  type: float
  returned: success or a conflict
  sample: 0.41
summary:
  description: Names by what became of them.
  type: dict
  returned: success or a conflict
  sample:
    created: [myapp-webui]
    updated: [myapp-flask-api]
    revived: []
    deleted: []
    unchanged: []
    conflict: []
    unsupported: [myapp-external-api]
table:
  description: The plan for people, a line for each service and mapping that is not left as it is.
  type: list
  elements: str
  returned: success or a conflict
  sample: ["update  myapp-flask-api  port: 8080 -> 5000", "2 unchanged"]
verified:
  description: Whether the server's list, read afterwards, says so; none where nothing was written.
  type: bool
  returned: success or a conflict
  sample: true
"""

from ansible.module_utils.basic import AnsibleFallbackNotFound, AnsibleModule, env_fallback

from ..module_utils._core.module import respond
from ..module_utils._gateway.run_module import ENVIRONMENT, OPTIONS, answer


def main() -> None:
    fallbacks = {name: {"fallback": (_given_by, [variable])} for name, variable in ENVIRONMENT.items()}
    specification = {name: {**option, **fallbacks.get(name, {})} for name, option in OPTIONS.items()}
    module = AnsibleModule(argument_spec=specification, supports_check_mode=True)
    respond(module, answer, changes=False)


def _given_by(variable: str) -> str:
    """Return what the environment says; an empty variable says nothing, as in a shell's ``${VARIABLE:-}``."""
    value: str = env_fallback(variable)
    if not value:
        raise AnsibleFallbackNotFound
    return value


if __name__ == "__main__":
    main()
