"""What operators write into their inventories, and what they are told of it on the control node."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from ansible_collections.tripod.baremetal.plugins.module_utils._preflight.arguments import ENTRIES, faults

ROLES = Path(__file__).resolve().parents[5] / "roles"


def option(variable):
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        if variable in options:
            return options[variable]
    raise AssertionError(f"no role has {variable}")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("nic_interfaces", [{"name": "ens1", "ring": {"rx": "max"}}],
         "nic_interfaces[0] (ens1): there is no key ring; did you mean rings?"),
        ("nic_interfaces", [{"name": "ens1", "mtu": "many"}], "nic_interfaces[0] (ens1): mtu is of type str"),
        ("nic_interfaces", [{"name": "ens1"}, {"name": "ens2", "rss": {"equals": 4}}],
         "nic_interfaces[1] (ens2): rss: there is no key equals; did you mean equal?"),
        ("nic_interfaces", {"ens1": {"mtu": 9000}}, "nic_interfaces is a dictionary, and a list of dictionaries"),
        ("xdp_interfaces", ["tripod0"],
         "xdp_interfaces[0] is a text (tripod0), and a dictionary is needed: write {name: ...}"),
        ("xdp_interfaces", [{"mode": "native"}], "xdp_interfaces[0]: name is missing"),
        ("xdp_acl", [{"prefix": "192.0.2.0/24", "action": "deny"}],
         "xdp_acl[0]: action must be one of: pass, drop, got: deny"),
        ("xdp_acl", [{"prefix": ["192.0.2.0/24"], "action": "drop"}], "xdp_acl[0]: prefix is a list"),
        ("cpu_isolation_assignments", [{"name": "go-backend", "cpu": "2-3"}],
         "cpu_isolation_assignments[0] (go-backend): there is no key cpu; did you mean cpus?"),
        ("cpu_isolation_housekeeping_cores", "two", "cpu_isolation_housekeeping_cores is of type str"),
        ("hugepages_reservations", [{"size": "1G"}], "hugepages_reservations[0]: count is missing"),
        ("hugepages_transparent", {"enable": "never"}, "hugepages_transparent: there is no key enable"),
        ("hugepages_transparent", "never", "hugepages_transparent is a text"),
        ("kernel_sysctls", ["vm.swappiness=1"], "kernel_sysctls is a list, and a dictionary is needed"),
        ("kernel_boot_arguments", {"iommu": "pt"}, "kernel_boot_arguments is of type dict"),
        ("kernel_drivers", [{"name": "igb", "option": {}}], "kernel_drivers[0] (igb): there is no key option"),
        ("kernel_reboot_ok", "perhaps", "kernel_reboot_ok is of type str"),
        ("kernel_modules", ["vfio-pci"], "kernel_modules[0] is a text (vfio-pci)"),
        ("docker_engine_networks", [{"name": "a", "intern": True}], "docker_engine_networks[0] (a): there is no key"),
        ("docker_engine_daemon_options", "live-restore", "docker_engine_daemon_options is a text"),
        ("images_base_source", "docker", "images_base_source must be one of: auto, registry, debian, got: docker"),
        ("postgres_clients", [{"service": "x"}], "postgres_clients[0]: uid is missing"),
        ("preflight_disk", [{"path": "/"}], "preflight_disk[0]: need_bytes is missing"),
        ("tripod_flask_http_port", "http", "tripod_flask_http_port is of type str"),
        ("tripod_app_name", ["tripod"], "tripod_app_name is a list, and a text is needed"),
        ("marchproxy_services", ["flask"], "marchproxy_services[0] is a text (flask)"),
        ("marchproxy_extra_services", [{"name": "a", "port": 80}],
         "marchproxy_extra_services[0] (a): ip_fqdn is missing"),
        ("marchproxy_extra_services", [{"name": "a", "published": "192.0.2.1"}],
         "marchproxy_extra_services[0] (a): there is no key published"),
        ("marchproxy_extra_mappings", ["a"], "marchproxy_extra_mappings[0] is a text (a)"),
        ("marchproxy_mappings", [{"name": "a", "listen": 443}], "marchproxy_mappings[0] (a): there is no key listen"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_variable_and_its_place(variable, value, said):
    assert any(fault.startswith(said) for fault in faults(variable, option(variable), value)), faults(
        variable, option(variable), value
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (
            "nic_interfaces",
            [{"pci": "0000:81:00.0", "channels": {"combined": 4}, "irq": {"avoid": "0-1"}, "xps": "auto"}],
        ),
        ("xdp_interfaces", [{"name": "ens1f0"}, {"name": "ens1f1", "mode": "generic", "state": "detached"}]),
        ("cpu_isolation_housekeeping", 0),
        ("kernel_reboot_ok", "yes"),
        ("tripod_flask_http_port", "5000"),
        ("kernel_boot_arguments", "iommu=pt"),
        ("hugepages_reservations", [{"size": "1G", "count": "4"}]),
        ("xdp_acl", None),
    ],
)
def test_what_ansible_takes_is_taken(variable, value):
    assert faults(variable, option(variable), value) == []


def test_every_variable_that_is_a_structure_is_looked_into():
    free = {"container_mounts"}  # as Docker takes them, and given by roles only
    unknown = []
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        unknown += [
            name
            for name, one in options.items()
            if one.get("elements") == "dict" and not one.get("options") and name not in ENTRIES
        ]
    assert set(unknown) == free, "give their entries a specification"


def test_what_the_modules_take_is_what_the_specifications_say():
    for variable, entries in ENTRIES.items():
        if said := option(variable).get("options"):
            assert set(said) == set(entries), variable


def test_of_thousands_of_mistakes_the_first_are_shown():
    many = faults("xdp_acl", option("xdp_acl"), [{"prefix": "192.0.2.0/24", "action": "deny"}] * 1000)
    assert len(many) == 21
    assert many[-1] == "xdp_acl: and 980 more"


def test_a_long_policy_takes_no_time():
    entries = [{"prefix": f"10.{one >> 8 & 255}.{one & 255}.{one >> 16}", "action": "drop"} for one in range(100_000)]
    begin = time.process_time()
    assert faults("xdp_acl", option("xdp_acl"), entries) == []
    assert time.process_time() - begin < 2
