#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: build_contexts_info
short_description: Tell whether a container image must be built again
version_added: 1.0.0
description:
  - Returns a digest of each Docker build context, over the names, executable bits and contents of what the engine would
    get. Two clones of the same sources give the same digest; owners and times do not count.
  - Patterns of C(.dockerignore) are respected. The C(Dockerfile) always counts.
author:
  - Tripod contributors (@tripod)
extends_documentation_fragment:
  - tripod.baremetal.attributes.info
options:
  contexts:
    description: The build contexts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name in the result; each once.
        type: str
        required: true
      path:
        description: Directory of the build context. It holds a file named C(Dockerfile).
        type: path
        required: true
      inputs:
        description: What else the image depends on, such as the base image's id or a build argument. The order counts.
        type: list
        elements: str
        default: []
"""

EXAMPLES = r"""
- name: Identify the images by what goes into them
  tripod.baremetal.build_contexts_info:
    contexts:
      - name: webui
        path: files/services/webui
        inputs: ["{{ base_image.id }}"]
  register: contexts

- name: Show the tag of an image
  ansible.builtin.debug:
    msg: "tripod/webui:{{ contexts.contexts.webui.tag }}"
"""

RETURN = r"""
contexts:
  description: What was found, by the context's name.
  type: dict
  returned: success
  contains:
    digest:
      description: SHA-256 in hexadecimal.
      type: str
      sample: 9a0364b9e99bb480dd25e1f0284c8555b1f5a1d2c3e4f5061728394a5b6c7d8e
    tag:
      description: The first 12 digits of it, for use as an image tag.
      type: str
      sample: 9a0364b9e99b
    files:
      description: Number of files and symbolic links.
      type: int
      sample: 42
    bytes:
      description: Size of their contents, in bytes.
      type: int
      sample: 120345
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._contexts import Context, digest_contexts
from ..module_utils._core import CoreError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "contexts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "path": {"type": "path", "required": True},
                    "inputs": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    contexts = [
        Context(option["name"], option["path"], tuple(option["inputs"])) for option in module.params["contexts"]
    ]
    try:
        digests = digest_contexts(contexts)
    except CoreError as error:
        module.fail_json(msg=str(error), **error.facts)
    module.exit_json(
        changed=False,
        contexts={
            name: {"digest": found.digest, "tag": found.tag, "files": found.files, "bytes": found.size}
            for name, found in digests.items()
        },
    )


if __name__ == "__main__":
    main()
