"""What the TLS front cannot be is said before anything is changed, by the operator's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.nginx_module import OPTIONS
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.front import NAMES, VARIABLES, refusals

ROLES = Path(__file__).parents[5] / "roles"


def given(**other: Any) -> dict[str, Any]:
    both = [yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text()) for role in ("common", "nginx")]
    known = {**both[0], **both[1]}
    return {name: known[name] for name in (*VARIABLES.values(), NAMES)} | other


def test_the_defaults_are_let_through_and_are_those_of_the_module():
    assert list(refusals(given())) == []
    assert {
        option: OPTIONS[option].get("default") or "" for option in VARIABLES if option in ("certificate", "key")
    } == {
        "certificate": "",
        "key": "",
    }
    others = [option for option in VARIABLES if option not in ("certificate", "key")]
    assert [given()[VARIABLES[option]] for option in others] == [OPTIONS[option]["default"] for option in others]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"tripod_https_addresses": []}, "tripod_https_addresses is empty"),
        ({"tripod_https_addresses": ["ui.example"]}, "tripod_https_addresses: 'ui.example' is no address"),
        ({"tripod_https_api_port": "443"}, "tripod_https_port, tripod_https_api_port are to differ"),
        ({"nginx_redirect_port": 70000}, "nginx_redirect_port 70000 is outside 0 to 65535"),
        ({"nginx_certificate": "/x/a"}, "nginx_certificate is given without nginx_certificate_key"),
        ({"nginx_certificate_key": "/x/a"}, "nginx_certificate_key is given without nginx_certificate"),
        ({"tripod_https_names": []}, "tripod_https_names is empty"),
    ],
)
def test_what_cannot_be_is_named_by_its_variable(other, reason):
    [said] = refusals(given(**other))
    assert said.startswith(reason)
