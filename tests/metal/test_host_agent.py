"""The agent under systemd: what was asked of the VM is still so after a reboot, a driver reload and a cable pulled."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.support.site import eventually

NIC = "ens1"
PATIENCE = 180.0  # seconds, in an emulated machine that other tests keep busy


@pytest.fixture
def state(host):
    """What the kernel, and not the agent, says of all that was asked."""

    def read() -> dict[str, str]:
        said = {
            " ".join(words): host.run("ethtool %s %s", *words, NIC).stdout for words in (["-g"], ["-l"], ["-c"], ["-k"])
        }
        # As even as asked is what counts: a driver that makes its table anew may deal the buckets out in another order.
        [table] = json.loads(host.check_output(f"ethtool --json -x {NIC}"))
        said["buckets"] = str(sorted(Counter(table["rss-indirection-table"]).items()))
        said["program"] = host.check_output(f"ip -j link show dev {NIC} | grep -o '\"attached\":[0-9]*' || true")
        said["pages"] = host.check_output("grep -r . /sys/devices/system/node/node*/hugepages/*/nr_hugepages")
        # By queue, as a reloaded driver gets other interrupt numbers.
        said["interrupts"] = host.check_output(
            f"for i in $(ls /sys/class/net/{NIC}/device/msi_irqs | sort -n); do "
            "echo $(cat /sys/kernel/irq/$i/actions): $(cat /proc/irq/$i/smp_affinity_list); done"
        )
        return said

    return read


def back(state, before: dict[str, str]) -> None:
    """Wait until everything is as it was; a failure tells what is not."""
    differs: dict[str, tuple[str, str]] = {}

    def same() -> bool:
        differs.clear()
        now = state()
        differs.update({name: (text, now[name]) for name, text in before.items() if now[name] != text})
        return not differs

    try:
        eventually("everything is as it was", same, PATIENCE)
    except AssertionError as error:
        raise AssertionError(f"{error}: {differs}") from None


def converged(host) -> bool:
    return host.run("tripod-host status").rc == 0


@pytest.fixture(autouse=True)
def _as_asked(host):
    subjects = {one["name"] for one in json.loads(host.check_output("tripod-host status --json"))}
    assert {"nic", "hugepages", f"xdp-{NIC}", f"xdp_policy-{NIC}"} <= subjects, "provision the VM, attach the program"
    eventually("the host is as asked", lambda: converged(host), PATIENCE)


def journal(host, unit: str) -> str:
    return host.check_output("journalctl --boot --unit %s --output cat --no-pager", unit)


def test_the_units_are_what_systemd_takes(host):
    units = " ".join(
        f"/etc/systemd/system/tripod-{name}.service" for name in ("apply", "watch", "policy", "export", "keep")
    )
    verified = host.run(f"systemd-analyze verify {units}")
    assert (verified.rc, verified.stdout + verified.stderr) == (0, "")
    assert host.check_output("systemctl --failed --quiet list-units") == ""


@pytest.mark.full
def test_a_reloaded_driver_is_as_asked_again(host, state):
    before = state()
    host.check_output("modprobe --remove igb && modprobe igb")
    back(state, before)
    eventually("the agent agrees", lambda: converged(host), PATIENCE)
    assert f"{NIC} " in journal(host, "tripod-watch")


@pytest.mark.full
def test_a_link_that_goes_down_and_up_keeps_its_interrupts(host, state):
    before = state()
    host.check_output(f"ip link set {NIC} down && ip link set {NIC} up")
    back(state, before)


@pytest.mark.full
def test_the_watch_is_there_again_after_it_was_killed(host, state):
    before = state()
    pid = host.check_output("systemctl show --property MainPID --value tripod-watch")
    host.check_output("systemctl kill --signal KILL tripod-watch")
    eventually(
        "another process watches",
        lambda: host.check_output("systemctl show --property MainPID --value tripod-watch") not in ("0", pid),
        PATIENCE,
    )
    host.check_output(f"ip link set {NIC} down && ethtool --set-ring {NIC} rx 512 && ip link set {NIC} up")
    back(state, before)


def test_a_reboot_without_ansible_ends_in_the_same_state(host, state, vm):
    before = state()
    vm.reboot()
    eventually("the host is as asked", lambda: converged(host), PATIENCE)
    assert state() == before
    assert "reapplied, 0 failed" in journal(host, "tripod-apply")
    assert host.check_output("systemctl --failed --quiet list-units") == ""
    # Containers find their pins, and the network its NICs.
    ordered = host.check_output("systemctl show --property Before --value tripod-apply").split()
    assert {"docker.service", "network-pre.target"} <= set(ordered)
    assert "ordering cycle" not in host.check_output("journalctl --boot --no-pager")
