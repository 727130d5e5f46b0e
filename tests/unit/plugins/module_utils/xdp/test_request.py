"""Where pins and state files go."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired


def test_names_of_pins_and_state_files():
    desired = Desired("eth0.100")
    assert desired.pins == "/sys/fs/bpf/tripod/eth0:100"
    assert desired.state_files == [
        f"/etc/tripod/host.d/{name}-eth0.100.json" for name in ("xdp", "xdp_policy", "xdp_map")
    ]
