#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build container images that are named after their content
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - The tag of each image is the SHA-256 of its build context and further inputs, so an unchanged image is never built
    twice and a changed one never goes unnoticed.
  - Runs on the builder, where the build contexts are. Where M(tripod.baremetal.cpu_isolation) gave the builder a plan,
    the steps of a build run on its housekeeping CPUs.
extends_documentation_fragment:
  - tripod.baremetal.attributes
requirements:
  - Docker's Python client (Debian package C(python3-docker))
options:
  images:
    description: Images in the order to build them.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Repository, without tag.
        type: str
        required: true
      context:
        description: Directory of the build context, with its C(Dockerfile).
        type: path
        required: true
      inputs:
        description: What else decides the result, such as the base image's ID.
        type: list
        elements: str
        default: []
      inputs_from:
        description: Earlier images of this list whose content decides the result too.
        type: list
        elements: str
        default: []
        version_added: 1.1.0
      target:
        description:
          - Stage to end with; the last one if not given.
          - Builders without BuildKit go through every stage before it, so an image's tests belong behind it.
        type: str
      args:
        description: Build arguments.
        type: dict
        default: {}
      args_from:
        description: Build arguments whose value is the reference of an earlier image of this list.
        type: dict
        default: {}
      extra_files:
        description: Files to add to the context, from name in the context to path on the builder.
        type: dict
        default: {}
      export_from:
        description: A file in the image that is needed outside of it.
        type: path
      export_to:
        description: Where that file goes on the builder; C({tag}) stands for the image's tag.
        type: str
      sbom_to:
        description:
          - Where a list of all that the image is made of goes on the builder; C({tag}) stands for the image's tag.
          - SPDX 2.3 in JSON, from the records of C(dpkg), C(pip), C(npm)'s bundles and Go that are in the image.
        type: str
        version_added: 1.1.0
  only:
    description: Repositories to build; all of O(images) where empty. The others are still named.
    type: list
    elements: str
    default: []
  keep_builders:
    description:
      - Whether the stages that images are built in stay on the builder, without a name, so that the next build of the
        same image is faster. They take gigabytes.
      - Otherwise those that this call made are removed. Others that were there before stay in any case.
    type: bool
    default: false
    version_added: 1.1.0
"""

EXAMPLES = r"""
- name: Build the web interface on the base
  tripod.baremetal.image_build:
    images:
      - name: tripod/webui
        context: /usr/src/webui
        inputs: ["{{ base.image_id }}"]
        args:
          BASE: tripod/base:trixie
"""

RETURN = r"""
changes:
  description: What was, or would be, built and written.
  returned: always
  type: list
  elements: str
images:
  description: By repository, what each image is.
  returned: always
  type: dict
  contains:
    reference:
      description: Name and tag.
      type: str
      sample: tripod/webui:4f2a9b6c01de
    image_id:
      description: ID; empty in check mode where it does not exist yet.
      type: str
    export_to:
      description: Path of the exported file; empty where there is none.
      type: str
    sbom_to:
      description: Path of the bill of materials; empty where there is none.
      type: str
missing:
  description: Repositories of which the image, the export or the bill of materials was missing when the module started.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.engine_client import EngineClient
from ..module_utils._deploy.image_build import Build, Images, name_builds

IMAGE = {
    "name": {"type": "str", "required": True},
    "context": {"type": "path", "required": True},
    "inputs": {"type": "list", "elements": "str", "default": []},
    "inputs_from": {"type": "list", "elements": "str", "default": []},
    "target": {"type": "str"},
    "args": {"type": "dict", "default": {}},
    "args_from": {"type": "dict", "default": {}},
    "extra_files": {"type": "dict", "default": {}},
    "export_from": {"type": "path"},
    "export_to": {"type": "str"},
    "sbom_to": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "dict", "required": True, "options": IMAGE},
            "only": {"type": "list", "elements": "str", "default": []},
            "keep_builders": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    with answering(module):
        engine = EngineClient.connect()
        named = name_builds([Build(**image) for image in module.params["images"]])
        images = Images(engine, named, module.params["only"], module.params["keep_builders"])
        outcome = converge(images, None, Host(), check=module.check_mode)
        reported = {
            name: {
                "reference": item.reference,
                "image_id": outcome.state.ids[item.reference] or "",
                "export_to": item.export_to or "",
                "sbom_to": item.sbom_to or "",
            }
            for name, item in named.items()
        }
        missing = list(dict.fromkeys(change.path[1] for change in outcome.changes))
        module.exit_json(**exit_arguments(outcome, images=reported, missing=missing))


if __name__ == "__main__":
    main()
