"""xdp_program and xdp_map as Ansible runs them."""

from __future__ import annotations

import pytest

from tests.integration import lab
from tests.support.modules import run_module

ENTRIES = [{"prefix": "203.0.113.0/24"}, {"prefix": "2001:db8:bad::/48", "action": "pass"}]


@pytest.fixture
def program(xdp_object, pin_root, tmp_path):
    return {
        "interface": lab.Cable.nic,
        "object": str(xdp_object),
        "pin_root": str(pin_root),
        "state_dir": str(tmp_path / "host.d"),
    }


def test_check_run_and_run_again(cable, program, pin_root):
    policy = {**program, "entries": ENTRIES}
    del policy["object"]

    predicted = run_module("xdp_program", program, check=True)
    assert predicted.changed
    assert (predicted.result["mode"], predicted.result["program"]) == (None, None)
    assert not cable.xdp()
    early = run_module("xdp_map", policy, check=True)
    assert early.failed
    assert "attach the program to xdp0 with xdp_program first" in early.result["msg"]

    done = run_module("xdp_program", program)
    assert done.changed
    assert done.result["changes"] == predicted.result["changes"]
    assert done.result["program"]["id"] == cable.xdp()["prog"]["id"]
    assert not run_module("xdp_program", program).changed
    assert not run_module("xdp_program", program, check=True).changed

    assert run_module("xdp_map", policy, check=True).changed
    filled = run_module("xdp_map", policy)
    assert (filled.result["added"], filled.result["entries"]) == (2, 2)
    for line in ('"203.0.113.0/24": "drop"', '"2001:db8:bad::/48": "pass"'):
        assert f"+            {line}" in filled.output
    again = run_module("xdp_map", policy)
    assert (again.changed, again.result["added"], again.result["entries"]) == (False, 0, 2)

    # The module that stays makes the same policy of the same entries.
    short = {
        **{key: value for key, value in policy.items() if key != "interface"},
        "interfaces": [program["interface"]],
    }
    assert not run_module("xdp_policy", short).changed
    assert run_module("xdp_policy", {**short, "entries": ENTRIES[:1]}).changed
    assert not run_module("xdp_map", {**policy, "entries": ENTRIES[:1]}).changed

    gone = {**program, "state": "detached"}
    assert run_module("xdp_program", gone, check=True).changed
    assert cable.xdp()
    assert run_module("xdp_program", gone).changed
    assert not cable.xdp()
    assert not run_module("xdp_program", gone).changed


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        ("xdp_program", {"mode": "fast"}, "value of mode must be one of: native, generic, offload, got: fast"),
        ("xdp_program", {"object": None}, "state is attached but all of the following are missing: object"),
        ("xdp_program", {"pin_group": "no-such-group"}, "pin_group 'no-such-group' does not exist on this host"),
        ("xdp_program", {"interface": "nope0"}, "interface nope0 does not exist; there are lo, "),
        ("xdp_map", {"entries": [{"prefix": "10.0.0.1/33"}]}, "entries[0]: '10.0.0.1/33': prefix length 33 > 32"),
        ("xdp_map", {"entries": [{"prefix": "::/0", "action": "log"}]}, "value of action must be one of: drop, pass"),
    ],
)
def test_a_bad_option_fails_with_its_reason(cable, program, pin_root, module, options, words):
    base = program if module == "xdp_program" else {"interface": lab.Cable.nic, "pin_root": str(pin_root)}
    given = {name: value for name, value in {**base, **options}.items() if value is not None}
    run = run_module(module, given)
    assert run.failed
    assert words in run.result["msg"]
    assert not cable.xdp()
    assert not pin_root.exists()


def test_a_policy_in_check_mode_applied_and_again(cable, program):
    run_module("xdp_program", program)
    prefixes = ["203.0.113.0/24"]
    bogons = {"name": "bogons", "prefixes": prefixes}
    policy = {
        "trusted": [{"prefix": "192.0.2.0/28"}, {"protocol": "tcp", "port": 22}],
        "lists": [bogons],
        "rules": [{"id": "no-snmp", "protocol": "udp", "destination_port": 161, "action": "drop"}],
        "default": "pass",
    }
    options = {"name": "edge", "interfaces": [lab.Cable.nic], "policy": policy}
    options |= {key: program[key] for key in ("pin_root", "state_dir")}
    foretold = run_module("xdp_policy", options, check=True)
    done = run_module("xdp_policy", options)
    assert foretold.changed
    assert done.changed, done.output
    assert foretold.result["parts"] == done.result["parts"]
    assert done.result["parts"] == {
        "trusted": {"added": 1, "removed": 0, "modified": 0},
        "lists": {"added": 1, "removed": 0, "modified": 0},
        "rules": {"added": 1, "removed": 0, "modified": 0},
    }
    assert done.result["slots"][lab.Cable.nic].keys() == {"list:bogons", "rule:no-snmp"}
    again = run_module("xdp_policy", options)
    assert (again.changed, again.result["parts"]) == (False, {})
    assert again.result["digest"] == done.result["digest"]
    prefixes.append("198.51.100.0/24")
    assert run_module("xdp_policy", options).result["parts"]["lists"]["modified"] == 1
    gone = run_module("xdp_policy", {**options, "state": "absent", "policy": None})
    assert gone.result["parts"]["lists"]["removed"] == 1
    assert not run_module("xdp_policy", {**options, "state": "absent", "policy": None}).changed
