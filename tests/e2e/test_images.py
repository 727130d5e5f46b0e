"""What the images of the site are made of: how much, on what, and what is not in them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.site import MEGABYTES, SERVICES, docker, inspect

# For whoever installs, documents or fetches; what a container runs is what it was built with.
LEFT_OUT = ("apt", "apt-get", "curl", "dpkg", "gcc", "npm", "perl", "pip", "wget")


def image(service: str) -> dict[str, Any]:
    """Return what Docker knows of the image that a service runs."""
    return json.loads(docker("image", "inspect", inspect(service)["Image"]))[0]


def files(service: str, *places: str) -> Iterator[str]:
    """Yield the files that a service's container sees below places of its root."""
    root = Path("/proc", str(inspect(service)["State"]["Pid"]), "root")
    for place in places:
        for path, _directories, names in os.walk(root / place):
            yield from (str(Path(path, name).relative_to(root)) for name in names)


@pytest.mark.parametrize("service", SERVICES)
def test_is_no_larger_than_it_has_to_be(service):
    assert image(service)["Size"] <= MEGABYTES[service] * 1_000_000


def test_all_are_one_layer_over_one_base():
    layers = {service: image(service)["RootFS"]["Layers"] for service in SERVICES}
    assert len({first for first, _second in layers.values()}) == 1, layers


@pytest.mark.parametrize("service", SERVICES)
def test_has_no_tools_that_fetch_or_install_and_nothing_to_read(service):
    programs = {Path(path).name for path in files(service, "usr/bin", "usr/sbin", "usr/local/bin", "opt/tripod/bin")}
    assert len(programs) > 20
    assert programs.isdisjoint(LEFT_OUT)
    assert not list(files(service, "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/log"))
    # dpkg leaves links out of nothing that it might have to keep, so some lead nowhere.
    root = Path("/proc", str(inspect(service)["State"]["Pid"]), "root")
    read = {Path(path).name for path in files(service, "usr/share/doc") if not (root / path).is_symlink()}
    assert read == {"copyright"}


@pytest.mark.parametrize("service", SERVICES)
def test_has_the_terms_of_every_package_that_is_recorded(service):
    root = Path("/proc", str(inspect(service)["State"]["Pid"]), "root")
    records = [root / "var/lib/dpkg/status", *(root / "var/lib/dpkg/status.d").glob("*")]
    packages = {
        name for path in records for name in re.findall(r"^Package: (.*)$", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(packages) > 40
    assert [name for name in sorted(packages) if not (root / "usr/share/doc" / name / "copyright").exists()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_asks_for_its_health_by_its_own_means(service):
    words = " ".join(image(service)["Config"]["Healthcheck"]["Test"])
    assert "curl" not in words
    assert "wget" not in words
