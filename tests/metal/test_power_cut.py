"""The power goes in the middle of a change: the host boots, and the next run brings it to what was asked.

The guest itself sees the first effect of the change and says so on its console, as that is soon enough: a login takes
seconds. QEMU is killed then, with everything that the guest had not written yet.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.metal.conftest import Playbook
from tests.metal.guest import failures
from tests.support.site import eventually
from tools.vm.machine import Machine

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("put_back")]
MARK = "tripod-test: the change has begun"
PATIENCE = 240.0  # seconds for a playbook to get to its change, and for a boot's replay
PROVISION = "playbooks/provision.yml"
POOL = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"


@dataclass(frozen=True)
class Cut:
    """A change, and when it is in its middle.

    Attributes:
        tags: The roles to run.
        asked: Variables that differ from the scenario's.
        begun: A condition of the guest's shell, true once the first step is done and the last is not.
        proof: A command of the guest's that tells of what is changed.
        wanted: What it tells once the change is complete.
        complaint: What a run ends with even then.
    """

    tags: str
    requested: dict[str, Any]
    begun: str
    proof: str
    desired: str
    complaint: str | None = None


CUTS = {
    # Channels come first, then rings, and affinities last. The shell's own words are fast enough to see it.
    "nic": Cut(
        tags="nic",
        requested={
            "nic_interfaces": [
                {
                    "name": "ens1",
                    "up": True,
                    "channels": {"combined": 2},
                    "rings": {"rx": 512, "tx": 256},
                    "coalesce": {"rx_usecs": 50},
                    "irq": {"cpus": "2-3", "avoid": "0-1"},
                }
            ]
        },
        begun="set -- /sys/class/net/ens1/queues/rx-*; [ $# -eq 2 ]",
        proof="ethtool -l ens1 | tail -n 1; ethtool -g ens1 | sed -n '/^Current/,$p' | grep -E '^(RX|TX):'; "
        "ethtool -c ens1 | grep ^rx-usecs:",
        desired="Combined: 2 RX: 512 TX: 256 rx-usecs: 50",
    ),
    "hugepages": Cut(
        tags="hugepages",
        requested={
            "hugepages_reservations": [
                {"node": 0, "size": "2M", "count": 48},
                {"node": 1, "size": "2M", "count": 96},
                {"node": 1, "size": "1G", "count": 1},
            ]
        },
        begun=f"read -r pages < {POOL.format(0)}; [ $pages -eq 48 ]",
        proof=f"cat {POOL.format(0)} {POOL.format(1)}",
        desired="48 96",
    ),
    # The live menu stays whole while grub-mkconfig, which takes seconds, makes one beside it.
    "kernel_args": Cut(
        tags="cpu_isolation,hugepages,kernel",
        requested={"kernel_boot_arguments": ["skew_tick=1", "tripod.power_cut=1"], "kernel_reboot_ok": False},
        begun="ls /boot/grub/.grub.cfg.*.mkconfig* >/dev/null 2>&1",
        proof="grep -c tripod.power_cut=1 /etc/default/grub.d/zz-tripod.cfg; "
        "grep -q tripod.power_cut=1 /boot/grub/grub.cfg && echo in the menu; find /boot/grub -name '*grub.cfg.*'",
        desired="1 in the menu",
        complaint="a reboot is required",
    ),
}


def cut_power(vm: Machine, host: Any, playbook: Playbook, cut: Cut) -> None:
    """Run the change, cut the power in its middle, and switch it on again."""
    heard = vm.serial.stat().st_size
    watch = f"until {cut.begun}; do :; done; echo {MARK} > /dev/ttyS0"
    host.check_output("systemd-run --quiet --collect --unit=tripod-test-watch sh -c %s", watch)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(playbook, PROVISION, "--tags", cut.tags, "-e", json.dumps(cut.requested), fails=True)

        def begun() -> bool:
            assert not run.done(), f"the run was over before its change was seen: {run.result()}"
            with vm.serial.open("rb") as console:
                console.seek(heard)
                return MARK.encode() in console.read()

        try:
            eventually("the change has begun", begun, PATIENCE, every=0.02)
        finally:
            vm.kill()
            # Where a guard may have been armed, the run waits for the host to tell of it.
            vm.start()
        run.result()


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_the_run_after_a_power_cut_converges(vm, host, playbook, cut):
    def proof() -> str:
        return " ".join(host.run(cut.proof).stdout.split())

    def provision() -> int:
        reported = playbook(
            PROVISION, "--tags", cut.tags, "-e", json.dumps(cut.requested), fails=cut.complaint is not None
        )
        assert (cut.complaint or "") in failures(reported)
        assert proof() == cut.desired
        [stats] = reported["stats"].values()
        return stats["changed"]

    assert proof() != cut.desired
    cut_power(vm, host, playbook, cut)
    eventually("the boot's replay is over", lambda: host.run("tripod-host status").rc in (0, 2), PATIENCE)
    assert proof() != cut.desired, "the power went after the change"
    assert provision() > 0
    assert provision() == 0
