"""The base that all images start from."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.base_image import Base, BaseImage
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.engine_client import EngineClient


def test_the_base_is_made_once(tmp_path):
    class Held(EngineClient):
        def image_id(self, reference):
            return "sha256:1"

    base = Base("app/base:1", "debian:stable-slim", "debian", "trixie")
    assert not converge(BaseImage(Held(None), base), base, Host(tmp_path)).changed
    absent = converge(BaseImage(EngineClient(None), base), base, Host(tmp_path), check=True)
    assert absent.diff["after"] == {"base": {"app/base:1": "debian:stable-slim"}}
