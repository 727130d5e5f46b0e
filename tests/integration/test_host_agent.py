"""The agent as the module installs it, where no service manager runs, and what it holds to what is requested."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.integration.agent_site import NIC, PATIENCE, PEER
from tests.support.machine import eventually

QUIET = 3.0  # seconds in which the watch would have acted twice


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_installed_in_one_call_and_removed_in_one(site):
    planned = site.install(check=True)
    assert planned.changed
    assert list(site.folder.iterdir()) == []

    done = site.install()
    assert done.result["changes"] == planned.result["changes"]
    assert done.result["service_manager"] == "none"
    stay = ("watch", "policy", "export", "keep")
    pids = [site.pid(name) for name in stay]
    assert [done.result["services"][f"tripod-{name}"]["pid"] for name in stay] == pids
    assert all(alive(pid) for pid in pids)
    assert site.tripod_host("version").stdout == f"tripod-host {done.result['version']}\n"
    assert site.tripod_host("status").stdout == "nothing is requested of this host\n"

    again = site.install()
    assert (again.changed, again.result["changes"]) == (False, [])
    assert [site.pid(name) for name in stay] == pids

    assert site.install("absent", check=True).changed
    gone = site.install("absent")
    assert gone.changed
    assert not any(alive(pid) for pid in pids)
    assert [str(path) for path in site.folder.rglob("*") if not path.is_dir()] == []
    assert site.run("find", "/run", "-xdev", "-name", "tripod-*") == ""
    assert not site.install("absent").changed


def test_the_supervisor_waits_calmly_for_an_engine(site):
    site.install()
    log = site.log.with_name("tripod-keep.log")
    eventually(lambda: "trying again until there is one" in log.read_text(), PATIENCE)
    time.sleep(QUIET)
    assert len(log.read_text().splitlines()) == 1


def test_what_runs_other_sources_or_arguments_is_restarted(site):
    site.install()
    watch, keep = site.pid("watch"), site.pid("keep")
    site.run("sh", "-c", f"echo {watch} 000000000000 > /run/tripod-watch/watch.pid")
    assert site.install(check=True).changed
    assert alive(watch)
    site.install()
    assert not alive(watch)
    assert site.pid("keep") == keep
    site.install(label="org.example=other")
    assert not alive(keep)
    assert not site.install(label="org.example=other").changed


def test_a_killed_watch_is_started_again_by_the_next_run(site):
    site.install()
    killed = site.pid()
    site.run("kill", "-KILL", str(killed))
    eventually(lambda: not alive(killed), PATIENCE)
    assert next(line for line in site.install().result["changes"] if "process" in line).startswith("tripod-watch")
    assert site.pid() != killed


def test_a_nic_that_is_made_anew_gets_its_program_and_the_program_its_policy(site, xdp_object):
    site.install()
    site.declare(xdp_object)
    assert site.tripod_host("status").returncode == 0
    first = site.program()
    site.run("ip", "link", "delete", NIC)
    assert site.program() is None
    site.cable(NIC, PEER)
    eventually(lambda: site.program() is not None, PATIENCE)
    assert site.program() == first, "its pin kept it"
    assert site.policy() == 2
    eventually(lambda: site.tripod_host("status").returncode == 0, PATIENCE)
    eventually(lambda: f"{NIC} appeared: its program was attached" in site.log.read_text(), PATIENCE)


def test_a_link_that_comes_up_gets_back_what_it_lost_and_then_there_is_peace(site):
    site.install()
    assert site.module("nic", nics=[{"name": NIC, "mtu": 1400}]).changed
    # Just after a round, so that none falls into the seconds below, which are shorter: it would find what is lost.
    done = site.metric("patrols")
    eventually(lambda: site.metric("patrols") >= max(2, done + 1), PATIENCE)
    assert site.news() == 0, "the watch waits for the module and finds nothing to do"
    site.run("ip", "link", "set", NIC, "down", "mtu", "1500")
    time.sleep(QUIET)
    assert site.mtu() == 1500, "a link that goes down is nobody's business"
    site.run("ip", "link", "set", NIC, "up")
    took = eventually(lambda: site.mtu() == 1400, PATIENCE)
    assert took < 5
    assert site.news() == 1
    site.run("ip", "link", "set", NIC, "down")
    site.run("ip", "link", "set", NIC, "up")
    time.sleep(QUIET)
    assert site.news() == 1, "what is as requested is left alone"


def test_the_watch_waits_for_who_is_changing_the_host(site):
    site.install()
    site.module("nic", nics=[{"name": NIC, "mtu": 1400}])
    holder = subprocess.Popen([*site.within, "flock", "/run/tripod/lock", "sleep", "5"])
    try:
        busy = ["flock", "--nonblock", "/run/tripod/lock", "true"]
        eventually(lambda: subprocess.run([*site.within, *busy], check=False).returncode, 3)
        site.run("ip", "link", "set", NIC, "down", "mtu", "1500")
        site.run("ip", "link", "set", NIC, "up")
        time.sleep(2)
        assert site.mtu() == 1500
    finally:
        holder.wait()
    eventually(lambda: site.mtu() == 1400, PATIENCE)


def test_after_a_reboot_everything_is_brought_about_in_order(site, xdp_object):
    site.install()
    site.module("nic", nics=[{"name": NIC, "mtu": 1400}])
    site.declare(xdp_object)
    site.run("kill", str(site.pid()))
    # A reboot leaves the state files, and neither pins nor settings.
    site.run("rm", "-rf", f"{site.pins}/{NIC}")
    site.run("ip", "link", "set", NIC, "mtu", "1500")
    eventually(lambda: site.program() is None, PATIENCE)

    status = site.tripod_host("status")
    assert status.returncode == 2
    assert [line.split() for line in status.stdout.splitlines() if not line.startswith("  ")] == [
        ["RESOURCE", "STATE"],
        ["nic", "differs"],
        [f"xdp-{NIC}", "differs"],
        [f"policy-nic-{NIC}-inventory", "converged"],
        [f"xdp_policy-{NIC}", "differs"],
    ]
    diff = json.loads(site.tripod_host("diff", "--json").stdout)
    assert diff[0]["diff"]["after"][NIC]["mtu"] == 1400
    assert f"{NIC} lists acl: absent -> " in site.tripod_host("diff").stdout

    applied = site.tripod_host("apply")
    assert (applied.returncode, site.mtu(), site.policy()) == (0, 1400, 2), applied.stderr
    # The program is attached with its policy, which is right then.
    assert "2 of 4 state files were reapplied, 0 failed" in applied.stderr
    assert site.tripod_host("status").returncode == 0
    assert "0 of 4 state files were reapplied, 0 failed" in site.tripod_host("apply").stderr


def test_hardware_that_is_gone_and_documents_that_are_torn_do_not_keep_the_rest_from_it(site):
    site.install()
    site.cable("gone0", "gone1")
    site.module("nic", nics=[{"name": NIC, "mtu": 1400}, {"name": "gone0", "mtu": 1400}])
    site.run("ip", "link", "delete", "gone0")
    site.run("sh", "-c", "echo '{' > /etc/tripod/host.d/torn.json")
    site.run("kill", str(site.pid()))
    site.run("ip", "link", "set", NIC, "mtu", "1500")
    applied = site.tripod_host("apply")
    assert (applied.returncode, site.mtu()) == (1, 1400)
    assert "torn.json cannot be understood" in applied.stderr
    assert "gone0" in applied.stderr
