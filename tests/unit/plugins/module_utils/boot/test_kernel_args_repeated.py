"""Boot arguments that are given more than once."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_repeated import contradictions


@pytest.mark.parametrize(
    "tokens",
    [
        "isolcpus=2-3 isolcpus=4",
        "isolcpus=managed_irq,2-3 isolcpus=domain,2-4",
        "nohz_full=2 nohz-full=3",
        "rcu_nocbs=2 rcu_nocbs=all",
        "mitigations=off mitigations=auto",
        "transparent_hugepage=never transparent_hugepage=always",
        "igb.max_vfs=1 igb.max_vfs=2",
        "nosmt nosmt=force",
        "default_hugepagesz=1G default_hugepagesz=2M",
        "hugepagesz=1G hugepages=2 hugepagesz=1g hugepages=3",
        "hugepages=2 hugepages=3",
        "intel_iommu=on intel_iommu=off",
        "module_blacklist=a module_blacklist=b",
    ],
)
def test_what_contradicts_is_named_with_what_it_contradicts(tokens):
    [reason] = contradictions(tokens.split())
    given = [token for token in tokens.split() if not token.startswith("hugepagesz=")]
    assert f"{given[0]} and {given[1]} contradict each other" in reason


@pytest.mark.parametrize(
    "tokens",
    [
        "console=tty0 console=ttyS0,115200n8",
        "earlycon earlycon=uart8250,io,0x3f8",
        "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=512",
        "hugepages=3 hugepagesz=1G hugepages=0:2,1:4",
        "memmap=4G!8G memmap=64K$0x18690000",
        "crashkernel=512M,high crashkernel=128M,low",
        "acpi_osi=! acpi_osi=Linux",
        "isolcpus=domain,2-3 isolcpus=managed_irq,2,3",
        "isolcpus=2-3 isolcpus=2-3",
        "intel_iommu=on intel_iommu=sm_on",
        "pci=nomsi pci=noaer",
        "igb.max_vfs=1 igb.debug=1",
        "dyndbg=+p usbcore.dyndbg=+p usbcore.dyndbg=+m",
        "rd.luks.uuid=a rd.luks.uuid=b",
        "modprobe.blacklist=a modprobe.blacklist=b",
        "systemd.mask=a.service systemd.mask=b.service",
    ],
)
def test_what_adds_up_is_no_contradiction(tokens):
    assert list(contradictions(tokens.split())) == []


def test_the_size_of_contradicting_pages_is_named():
    pages = ["hugepagesz=2M", "hugepages=5", "hugepagesz=1G", "hugepages=2", "hugepagesz=1G", "hugepages=3"]
    [reason] = contradictions(pages)
    assert reason.startswith("hugepages=2 and hugepages=3 contradict each other (hugepages of 1G)")


def test_each_further_value_is_named_once():
    assert len(list(contradictions(["a=1", "a=2", "a=1", "a=3"]))) == 2
