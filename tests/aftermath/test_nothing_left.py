"""After the teardown of a site with its data: all that was made is gone, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.site import NETNS, NIC, PINS, ROOT, docker, playbook, result

LABEL = "label=org.tripod.collection"


@pytest.fixture(scope="module", autouse=True)
def _the_tests_own_site() -> None:
    told = os.environ.get("TRIPOD_SITE_IS_THE_TESTS") == "1"
    assert told, "a teardown follows, with data: run 'make test-site', which looks first whether a site stands here"


@pytest.mark.parametrize(
    "listing",
    [["ps", "--all", "--quiet"], ["network", "ls", "--quiet"], ["volume", "ls", "--quiet"], ["images", "--quiet"]],
    ids=lambda words: words[0],
)
def test_the_engine_holds_nothing_of_ours(listing):
    assert docker(*listing, "--filter", LABEL) == ""


@pytest.mark.parametrize(
    "path",
    [
        "/etc/tripod",
        "/var/lib/tripod",
        "/var/cache/tripod",
        "/usr/local/lib/tripod",
        "/usr/local/sbin/tripod-host",
        "/etc/default/grub.d/zz-tripod.cfg",
        "/etc/modprobe.d/tripod.conf",
        "/etc/sysctl.d/60-tripod.conf",
        "/etc/systemd/system.conf.d/tripod.conf",
        "/run/systemd/system/irqbalance.service.d/50-tripod.conf",
        "/run/tripod-keep",
        "/run/tripod-watch",
        "/run/tripod-policy",
        "/run/tripod/policy.sock",
        "/run/tripod-export",
        "/run/tripod-nginx",
        "/var/log/tripod-nginx.log",
        "/etc/systemd/system/tripod-nginx.service",
        str(PINS),
        f"/run/netns/{NETNS}",
        f"/sys/class/net/{NIC}",
        str(ROOT / "config" / "marchproxy" / "import-config.json"),
    ],
)
def test_the_host_holds_nothing_of_ours(path):
    assert not Path(path).exists()


def test_the_packet_filter_holds_nothing_of_ours():
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "table inet tripod" not in tables.splitlines()


def test_no_user_of_ours_is_left():
    names = [line.partition(":")[0] for line in Path("/etc/passwd").read_text().splitlines()]
    assert [name for name in names if name.startswith("tripod-")] == []


def test_no_process_of_ours_runs():
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in shown.splitlines() if re.search("tripod-host|tripod_api|tripod/nginx", line)] == []


def test_a_second_teardown_finds_nothing_and_leaves_what_is_not_ours():
    # Names that nobody else has: the volume is removed at the end.
    network = f"bystander-{os.getpid()}"
    volume = docker("volume", "create", network)
    docker("network", "create", network)
    try:
        done = playbook("playbooks/teardown.yml", "-e", "teardown_data=true")
        assert done.returncode == 0, done.stdout[-3000:]
        assert result(done)["stats"]["localhost"]["changed"] == 0
        assert docker("volume", "inspect", volume, "--format", "{{.Name}}") == volume
        assert docker("network", "inspect", network, "--format", "{{.Name}}") == network
    finally:
        docker("volume", "rm", volume)
        docker("network", "rm", network)
