"""What the documentation says is enough is enough, and each of it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration import lab

MODULES = Path(__file__).parents[2] / "plugins" / "modules"
GROUP = 10002
CHILD = """
import json, sys
from dataclasses import replace
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap, parse_entries
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

interface, path, pin_root, state, group = sys.argv[1:]
desired = Desired(interface, object=path, pin_root=pin_root, state_directory=state, pin_group=int(group))
entries = parse_entries([{"prefix": "203.0.113.0/24", "action": "drop"}])
policy = Policy(interface, entries=entries, pin_root=pin_root, state_directory=state)
steps = {
    "attach": (XdpProgram(desired), desired),
    "policy": (XdpMap(policy), policy),
    "generic": (XdpProgram(desired), replace(desired, mode="generic")),
    "detach": (XdpProgram(replace(desired, present=False)), replace(desired, present=False)),
}
done = {}
for name, (resource, request) in steps.items():
    if name == "generic":
        resource = XdpProgram(request)
    try:
        done[name] = converge(resource, request, Host()).changed
    except (CoreError, OSError) as error:
        done[name] = str(error)
print(json.dumps(done))
"""


def documented(module: str) -> set[str]:
    """Return the capabilities that a module's documentation asks for."""
    source = (MODULES / f"{module}.py").read_text(encoding="utf-8")
    text = source.split('DOCUMENTATION = r"""')[1].split('"""')[0]
    [line] = [one for one in yaml.safe_load(text)["requirements"] if "capabilit" in one]
    return {word.strip(",") for word in line.split() if word.strip(",").isupper()}


def run_with(capabilities: set[str], *arguments: str) -> dict[str, bool | str]:
    """Do everything as root with exactly these capabilities."""
    kept = "".join(f",+{one.lower()}" for one in sorted(capabilities))
    command = ["setpriv", f"--bounding-set=-all{kept}", "--inh-caps=-all", sys.executable, "-c", CHILD, *arguments]
    paths = ":".join(path for path in sys.path if path)
    done = subprocess.run(command, env={"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def arguments(cable, xdp_object, pin_root, tmp_path) -> list[str]:
    return [cable.nic, str(xdp_object), str(pin_root), str(tmp_path / "host.d"), str(GROUP)]


def test_the_documented_capabilities_are_enough(cable, arguments):
    assert documented("xdp_program") == {"SYS_ADMIN", "NET_ADMIN", "CHOWN"}
    assert documented("xdp_map") < documented("xdp_program")
    done = run_with(documented("xdp_program"), *arguments)
    assert done == {"attach": True, "policy": True, "generic": True, "detach": True}
    assert not cable.xdp()


@pytest.mark.parametrize("missing", ["SYS_ADMIN", "NET_ADMIN", "CHOWN"])
def test_without_one_of_them_the_error_names_all(cable, arguments, missing):
    done = run_with(documented("xdp_program") - {missing} | {"BPF", "PERFMON"}, *arguments)
    assert "SYS_ADMIN, NET_ADMIN and, for pin_group, CHOWN" in str(done["attach"])
    assert not cable.xdp()


def test_entries_take_no_ownership(cable, arguments):
    run_with(documented("xdp_program"), *arguments[:-1], "0")
    done = run_with(documented("xdp_map"), *arguments[:-1], "0")
    assert done == {"attach": True, "policy": True, "generic": True, "detach": True}
    assert lab.ip("link", "show", "dev", cable.nic)
