"""A host is read before anything is changed."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.request import Command, Requirements, Space
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.state import read

LABEL = "org.tripod.collection=tripod.baremetal"


def test_a_host_is_read_from_its_files(machine):
    host = machine(
        {
            "/etc/os-release": 'NAME="Debian GNU/Linux"\n# no value\nVERSION_ID="12"\nID=debian\n',
            "/proc/sys/kernel/osrelease": "6.1.0-28-amd64\n",
            "/proc/meminfo": "MemTotal:        2048 kB\nMemFree:  1 kB\n",
            "/proc/self/status": "Name:\tx\nCapEff:\t0000000000001000\n",
            "/proc/sys/net/core/bpf_jit_enable": "0\n",
            "/proc/mounts": "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
            "/proc/filesystems": "nodev\tproc\nnodev\tbpf\n\text4\n",
            "/sys/class/net/ens1/mtu": "1500\n",
            "/var/lib/x": "",
        }
    )
    needs = Requirements(space=(Space("/var/lib/docker/overlay2", 1, "images"),), commands=(Command("ip", "iproute2"),))
    seen = read(host, needs, LABEL)
    assert (seen.distribution, seen.kernel, seen.memory) == ("debian 12", "6.1.0-28-amd64", 2 * 2**20)
    assert seen.missing_capabilities == ["CAP_SYS_ADMIN"]
    assert seen.jit is False
    assert seen.features == ["bpffs", "cgroup"]
    assert seen.interfaces == ["ens1"]
    assert seen.commands == []
    assert seen.file_systems["/var/lib/docker/overlay2"].path == "/var/lib"
    assert seen.holders == {}


def test_a_command_must_be_executable(machine):
    host = machine({"/usr/sbin/ip": ""})
    needs = Requirements(commands=(Command("ip", "iproute2"),))
    assert read(host, needs, LABEL).commands == []
    host.path("/usr/sbin/ip").chmod(0o755)
    assert read(host, needs, LABEL).commands == ["ip"]
