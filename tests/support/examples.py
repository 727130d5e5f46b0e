"""The examples that operators copy, as Ansible reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

FOLDER = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
# Which every host has without being given them.
MAGIC = ("ansible_", "group_names", "groups", "inventory_", "playbook_dir")
_ROW = re.compile(r"^\| \[(\S+)\]\(\S+\) \|.*\| `ansible-playbook -i hosts\.yml (\S+)` \|$", re.MULTILINE)


def playbooks() -> dict[str, str]:
    """Return the playbook that the README names for each example."""
    return dict(_ROW.findall((FOLDER / "README.md").read_text(encoding="utf-8")))


def variables(name: str) -> dict[str, dict[str, Any]]:
    """Return what an example's inventory says of each host, in the end."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(FOLDER / name / "hosts.yml")])
    manager = VariableManager(loader=loader, inventory=inventory)
    said = {}
    for host in inventory.get_hosts():
        everything = manager.get_vars(host=host)
        templar = Templar(loader=loader, variables=everything)
        own = [key for key in everything if not key.startswith(MAGIC)]
        said[host.name] = {key: templar.template(everything[key]) for key in own}
    return said


def nics(variables_of_host: dict[str, Any]) -> set[str]:
    """Return the names of a host's NICs."""
    settings = [*variables_of_host.get("nic_interfaces", []), *variables_of_host.get("xdp_interfaces", [])]
    return {nic["name"] for nic in settings}
