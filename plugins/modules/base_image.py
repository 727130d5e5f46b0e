#!/usr/bin/python
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: base_image
short_description: Pull the base image, or make it from Debian packages
version_added: 1.0.0
author: Tripod contributors (@tripod)
description:
  - Gives every other image one base. Where no registry answers, the base is made by C(mmdebstrap) from Debian packages,
    so an air-gapped site needs no registry.
  - An image that exists is left alone, however old; remove it to have it made anew.
extends_documentation_fragment:
  - tripod.baremetal.attributes
requirements:
  - Docker's Python client (Debian package C(python3-docker))
  - C(mmdebstrap), where the base is made from packages
options:
  name:
    description: Name with tag that the base gets here.
    type: str
    required: true
  upstream:
    description: Reference to pull.
    type: str
    default: debian:stable-slim
  source:
    description: Where the base comes from.
    type: str
    default: auto
    choices:
      auto: The registry, or Debian packages where none answers.
      registry: The registry or not at all.
      debian: Debian packages, without any registry.
  suite:
    description: Debian suite to make it from.
    type: str
    default: trixie
"""

EXAMPLES = r"""
- name: Make the base without a registry
  tripod.baremetal.base_image:
    name: tripod/base:trixie
    source: debian
    suite: trixie
"""

RETURN = r"""
changes:
  description: What was, or would be, done.
  returned: always
  type: list
  elements: str
image_id:
  description: ID of the image; empty in check mode where it does not exist yet.
  returned: always
  type: str
  sample: sha256:9f1c3ab15a2d
name:
  description: Name with tag.
  returned: always
  type: str
made_from:
  description: V(registry) or V(debian) where it was made in this call.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.converge import converge, exit_arguments
from ..module_utils._core.module import answering
from ..module_utils._core.system import Host
from ..module_utils._deploy.base_image import Base, BaseImage
from ..module_utils._deploy.engine_client import EngineClient


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "upstream": {"type": "str", "default": "debian:stable-slim"},
            "source": {"type": "str", "default": "auto", "choices": ["auto", "registry", "debian"]},
            "suite": {"type": "str", "default": "trixie"},
        },
        supports_check_mode=True,
    )
    with answering(module):
        base = Base(**module.params)
        resource = BaseImage(EngineClient.connect(), base)
        outcome = converge(resource, base, Host(), check=module.check_mode)
        module.exit_json(
            **exit_arguments(outcome, name=base.name, image_id=outcome.state or "", made_from=resource.made_from)
        )


if __name__ == "__main__":
    main()
