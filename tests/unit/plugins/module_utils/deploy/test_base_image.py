"""The base that all images start from."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.base_image import (
    RECIPE,
    RECIPE_LABEL,
    Base,
    BaseImage,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.engine_client import LABEL, OWNER, EngineClient


def test_the_base_is_made_once(tmp_path):
    class Held(EngineClient):
        def _inspected(self, reference):
            return {"Id": "sha256:1", "Config": {"Labels": None}}

    base = Base("app/base:1", "debian:stable-slim", "debian", "trixie")
    assert not converge(BaseImage(Held(None), base), base, Host(tmp_path)).changed
    absent = converge(BaseImage(EngineClient(None), base), base, Host(tmp_path), check=True)
    assert absent.diff["after"] == {"base": {"app/base:1": "debian:stable-slim"}}


def test_a_base_that_an_earlier_release_made_in_another_way_is_made_anew(tmp_path):
    class Held(EngineClient):
        def _inspected(self, reference):
            return {"Id": "sha256:1", "Config": {"Labels": self.trouble}}

    base = Base("app/base:1", "debian:stable-slim", "auto", "trixie")

    def is_made(labels):
        return converge(BaseImage(Held(None, labels), base), base, Host(tmp_path), check=True).changed

    assert is_made({LABEL: OWNER})
    assert is_made({LABEL: OWNER, RECIPE_LABEL: "of yesterday"})
    assert not is_made({LABEL: OWNER, RECIPE_LABEL: RECIPE})
    # What was pulled is as its publisher made it.
    assert not is_made({"maintainer": "somebody"})
