"""Names and values of kernel variables, as they may be written."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.sysctl_request import canonical, parse
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("net.core.somaxconn", "net.core.somaxconn"),
        ("net/core/somaxconn", "net.core.somaxconn"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
        ("net.ipv4.conf.eth0/100.rp_filter", "net.ipv4.conf.eth0/100.rp_filter"),
    ],
)
def test_both_ways_to_write_a_name_mean_one(written, name):
    assert canonical(written) == name


def test_a_truth_value_is_a_number(host):
    assert parse({"net.ipv4.ip_forward": True, "net.core.bpf_jit_enable": False}) == {
        "net.ipv4.ip_forward": "1",
        "net.core.bpf_jit_enable": "0",
    }


def test_every_malformed_request_is_reported_at_once():
    with pytest.raises(Invalid) as caught:
        parse(
            {
                "a b": 1,
                "../etc/passwd": 1,
                "net.core..x": 1,
                "net.core.x": None,
                "net.core.y": [1],
                "net.core.z": "1\n2",
                "net.core.somaxconn": 1,
                "net/core/somaxconn": 2,
            }
        )
    assert caught.value.facts["reasons"] == [
        "'a b' is no name of a kernel variable, such as net.core.somaxconn",
        "'../etc/passwd' is no name of a kernel variable, such as net.core.somaxconn",
        "'net.core..x' is no name of a kernel variable, such as net.core.somaxconn",
        "net.core.x: None is no value; give a number or one line of text, fields parted by blanks",
        "net.core.y: [1] is no value; give a number or one line of text, fields parted by blanks",
        "net.core.z: '1\\n2' is no value; give a number or one line of text, fields parted by blanks",
        "net.core.somaxconn is requested twice: give it one value",
    ]
