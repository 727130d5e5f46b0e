"""Names and paths that are put together: they reach one interface's pins, and no further."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.cli import parser
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError, Refused, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import netlink
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.bpffs import Bpffs, PinRoot
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import lab
from tests.support.modules import run_module

NIC = lab.Cable.nic


@pytest.fixture
def desired(cable, xdp_object, pin_root, tmp_path) -> Desired:
    found = Desired(NIC, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path / "host.d"))
    run(found)
    return found


def run(desired: Desired, check: bool = False):
    return converge(XdpProgram(desired), desired, Host(), check=check)


def pins(desired: Desired) -> list[str]:
    return sorted(
        os.path.join(place, name) for place, _directories, files in os.walk(desired.pin_root) for name in files
    )


def mounts() -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines() if " - bpf " in line]


@pytest.mark.parametrize("name", ["", ".", "..", f"{NIC}/maps", f"../{NIC}", f"{NIC}/", f"{NIC}~0a1b"])
def test_a_name_that_is_none_detaches_and_removes_nothing(desired, name):
    before = pins(desired)
    with pytest.raises(CoreError, match="which no name of an interface does"):
        run(Desired(name, present=False, pin_root=desired.pin_root, state_directory=desired.state_directory))
    assert pins(desired) == before
    assert netlink.link(NIC).xdp.mode == "native"


def test_the_modules_and_the_agent_refuse_such_names(desired):
    for module, name, more in (("xdp_program", "", {"state": "detached"}), ("xdp_map", f"{NIC}/maps", {"entries": []})):
        answer = run_module(module, {"interface": name, "pin_root": desired.pin_root, **more}, check=True)
        assert answer.failed
        assert "which no name of an interface does" in answer.result["msg"]
    for arguments in (["status", "--interface", "x/maps"], ["apply", "--state-dir", "/etc/../etc"]):
        with pytest.raises(SystemExit):
            parser("test").parse_args(arguments)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("json_file", {"path": "{here}/../x.json"}),
        ("json_file", {"path": "{here}/x.json", "consumer_pid_file": "{here}//pid"}),
        ("docker_daemon", {"state": "stopped", "socket": "{here}/s/"}),
        ("docker_daemon", {"state": "stopped", "pid_file": "{here}/./pid"}),
        ("docker_daemon", {"state": "stopped", "log": "{here}/a log"}),
    ],
)
def test_the_modules_for_files_and_daemons_take_paths_of_the_same_type(tmp_path, module, options):
    given = {name: text.format(here=tmp_path) for name, text in options.items()}
    answer = run_module(module, given, check=True)
    assert answer.failed
    assert "give an absolute path of letters" in answer.result["msg"]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["keep", option, path] for option in ("--socket", "--state-file", "--pid-file") for path in ("x", "/a/../b")),
        *(["watch", option, "/run//x"] for option in ("--state-dir", "--pid-file")),
        ["apply", "--interface", ""],
        ["diff", "--interface", "a b"],
    ],
)
def test_the_commands_take_names_and_paths_of_the_same_type(arguments):
    with pytest.raises(SystemExit):
        parser("test").parse_args(arguments)


def test_a_directory_that_is_no_bpf_file_system_is_left_alone(cable, tmp_path):
    (tmp_path / "tripod" / "maps").mkdir(parents=True)
    (tmp_path / "tripod" / "maps" / "important").write_text("data")
    gone = Desired("tripod", present=False, pin_root=str(tmp_path), state_directory=str(tmp_path / "host.d"))
    assert not run(gone).changed
    assert (tmp_path / "tripod" / "maps" / "important").exists()


def test_an_interface_that_has_the_name_of_the_pin_root_does_not_take_every_pin(desired):
    """bpffs itself as the pin root, and the real one's name as the interface's."""
    before = pins(desired)
    short = Path("/sys/fs/bpf/t-reach")
    os.rename(desired.pin_root, short)
    try:
        with pytest.raises(CoreError, match=r"is the BPF file system itself|holds xdp0, which nobody pinned"):
            run(Desired("t-reach", present=False, pin_root="/sys/fs/bpf", state_directory=desired.state_directory))
    finally:
        os.rename(short, desired.pin_root)
    assert pins(desired) == before


def test_what_is_in_the_way_of_removal_is_named_and_left(desired):
    os.mkdir(f"{desired.pins}/others")
    with pytest.raises(Refused, match=rf"{desired.pins} holds others, which nobody pinned for an interface"):
        run(replace(desired, present=False))
    assert netlink.link(NIC).xdp.mode == "native"
    os.rmdir(f"{desired.pins}/others")


def test_detaching_with_another_pin_root_takes_off_what_the_state_file_names(desired, pin_root):
    elsewhere = replace(desired, present=False, pin_root=f"{pin_root}-other")
    assert run(elsewhere, check=True).changed
    assert run(elsewhere).changed
    assert netlink.link(NIC).xdp.mode is None
    assert pins(desired) == []
    assert not run(elsewhere).changed


def test_attaching_with_another_pin_root_names_both(desired, pin_root):
    with pytest.raises(Refused, match=rf"has pins in {desired.pins}, .*pin_root is {pin_root}-other: detach it first"):
        run(replace(desired, pin_root=f"{pin_root}-other"))
    assert not os.path.exists(f"{pin_root}-other")
    assert not run(desired).changed


def mount_at(mount: str) -> None:
    root = PinRoot(mount, f"{mount}/tripod", 0)
    converge(Bpffs(root), root, Host())


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("/sys/fs/bpf/", "is another way to write /sys/fs/bpf"),
        ("/sys/fs/../fs/bpf", "is another way to write /sys/fs/bpf"),
        ("//sys/fs/bpf", "is another way to write /sys/fs/bpf"),
        ("/sys/fs/bpf x", "has ' ' in it"),
        ("{link}", "leads through .*, which is a symbolic link"),
        ("{link}/deeper", "leads through .*, which is a symbolic link"),
        ("{pins}", "is a directory of the BPF file system at /sys/fs/bpf"),
        ("{full}", "holds important, which a mount would hide"),
    ],
)
def test_another_way_to_write_the_mount_point_mounts_nothing(desired, tmp_path, mount, words):
    os.symlink("/sys/fs/bpf", tmp_path / "link")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "important").write_text("data")
    given = mount.format(link=tmp_path / "link", pins=desired.pin_root, full=tmp_path / "full")
    before = mounts()
    with pytest.raises(CoreError, match=words):
        mount_at(given)
    assert mounts() == before
    assert pins(desired)


@pytest.mark.parametrize("suffix", ["/", "/.", "//x", " "])
def test_another_way_to_write_the_pin_root_is_refused(desired, suffix):
    with pytest.raises(CoreError, match=r"is another way to write|has ' ' in it"):
        run(replace(desired, pin_root=desired.pin_root + suffix))


def test_a_pin_root_that_is_a_link_is_refused(desired, tmp_path):
    os.symlink(desired.pin_root, tmp_path / "pins")
    with pytest.raises(CoreError, match="which is a symbolic link: give /sys/fs/bpf"):
        run(replace(desired, pin_root=str(tmp_path / "pins")))
