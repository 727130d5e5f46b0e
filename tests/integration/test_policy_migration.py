"""A NIC that runs the program of release 1.0.0 is taken over: nobody passes meanwhile, and counters go on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import reapply as agent
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf, bpf_map
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_takeover, saved
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames, lab
from tests.support import forked
from tests.support.bpf_object import hollow
from tests.support.machine import eventually
from tests.support.sweep import sweep

NIC = lab.Cable.nic
PATIENCE = 10.0  # seconds
RELEASE = Path(__file__).parents[1] / "fixtures" / "xdp-1.0.0"
INVENTORY = {"203.0.113.0/24": "drop", "203.0.113.9/32": "pass", "2001:db8:bad::/48": "drop"}
API = {"198.51.100.7/32": "drop", "2001:db8:ccc::/48": "pass"}
BLOCKED = ("203.0.113.1", "198.51.100.7", "2001:db8:bad::1")


@pytest.fixture(scope="module")
def released_object(tmp_path_factory) -> Path:
    """The program of release 1.0.0, made from what was released."""
    directory = tmp_path_factory.mktemp("released") / "bpf"
    shutil.copytree(RELEASE, directory)
    subprocess.run(["make", "-C", str(directory)], check=True, stdout=subprocess.DEVNULL)
    return directory / "tripod_xdp.bpf.o"


class Released:
    """A NIC as release 1.0.0 leaves it: program, pins, entries of two owners, and state files."""

    def __init__(self, path: Path, root: Path, directory: Path) -> None:
        self.root, self.directory = root, directory
        self.desired = Desired(NIC, object=str(path), pin_root=str(root), state_directory=str(directory))
        converge(XdpProgram(self.desired), self.desired, Host())
        body = {"interface": NIC, "pin_root": str(root), "entries": INVENTORY}
        state_store.store(Host(), state_store.StateFile(f"xdp_map-{NIC}", "xdp_map", body), str(directory))
        policy_takeover.reapply(body, Host())
        for text, action in API.items():
            prefix = parse_prefix(text)
            value = bytes(({"pass": 1, "drop": 2}[action], 2, prefix.length, 0))
            with bpf.pinned(self.pin(f"maps/acl_v{prefix.version}")) as trie:
                assert bpf_map.update(trie, [(prefix.key, value)]) == 1

    def pin(self, name: str) -> str:
        return f"{self.desired.pins}/{name}"

    def upgraded(self, path: Path) -> Desired:
        return Desired(NIC, object=str(path), pin_root=str(self.root), state_directory=str(self.directory))

    def absent(self) -> Desired:
        return Desired(NIC, present=False, pin_root=str(self.root), state_directory=str(self.directory))

    def upgrade(self, path: Path) -> None:
        desired = self.upgraded(path)
        converge(XdpProgram(desired), desired, Host())

    def leftovers(self) -> list[str]:
        """What release 1 kept, and halves of what a killed run was about to keep."""
        pins = [name for name in os.listdir(self.pin("maps")) if name.startswith("acl_") or name.endswith("~")]
        files = [name for name in os.listdir(self.directory) if name.startswith((".", "xdp_map-"))]
        return pins + files

    def rules(self) -> dict[str, tuple[str, str]]:
        policy = Policy(NIC, pin_root=str(self.root), state_directory=str(self.directory))
        return {str(prefix): rule for prefix, rule in XdpMap(policy).read(Host()).rules.items()}


@pytest.fixture
def released(cable, released_object, pin_root, tmp_path) -> Released:
    return Released(released_object, pin_root, tmp_path / "host.d")


def frame(source: str) -> bytes:
    made, ethertype = (frames.ipv6, frames.IPV6) if ":" in source else (frames.ipv4, frames.IPV4)
    return frames.ethernet(ethertype, made(source))


class Traffic:
    """Sends what has to be dropped, and counts what is not, behind the program."""

    def __init__(self, cable: lab.Cable) -> None:
        self._ended = threading.Event()
        self._sender = cable.sender()
        self._listener = lab.listener(NIC)
        self.sent, self.passed = 0, 0
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._listen)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._sender.close()
        self._listener.close()

    def _send(self) -> None:
        made = [frame(source) for source in BLOCKED]
        while not self._ended.is_set():
            lab.put(self._sender, *made)
            self.sent += len(made)

    def _listen(self) -> None:
        made = {frame(source) for source in BLOCKED}
        self._listener.settimeout(0.05)
        while not self._ended.is_set():
            try:
                self.passed += self._listener.recv(2048) in made
            except TimeoutError:
                continue


def counted(released: Released) -> Mapping[tuple[str, str], int]:
    return lab.read_counters(Path(released.pin("maps/counters")))


@pytest.fixture
def upgraded(released, xdp_object) -> Released:
    released.upgrade(xdp_object)
    return released


def test_nobody_passes_meanwhile_and_counters_go_on(cable, released, xdp_object):
    lab.bring_up(cable)
    with Traffic(cable) as traffic:
        eventually(lambda: traffic.sent >= 1000, PATIENCE)
        released.upgrade(xdp_object)
        end = traffic.sent + 1000
        eventually(lambda: traffic.sent >= end, PATIENCE)
    assert traffic.passed == 0
    assert counted(released)["drop", "list_drop"] == traffic.sent
    # What the test watches for would be seen.
    with Traffic(cable) as traffic:
        converge(XdpProgram(absent := released.absent()), absent, Host())
        eventually(lambda: traffic.passed > 0, PATIENCE)


def test_entries_of_both_owners_are_lists_now_and_old_pins_are_gone(cable, upgraded):
    expected = {**{one: ("inventory", action) for one, action in INVENTORY.items()}}
    expected |= {one: ("api", action) for one, action in API.items()}
    assert upgraded.rules() == expected
    assert not [name for name in os.listdir(upgraded.pin("maps")) if name.startswith("acl_")]
    assert sorted(os.listdir(upgraded.directory)) == [
        f"policy-nic-{NIC}-api.json",
        f"policy-nic-{NIC}-inventory.json",
        f"xdp-{NIC}.json",
        f"xdp_policy-{NIC}.json",
    ]
    states = [one.state for one in agent.reapply(Host(), str(upgraded.directory), check=True)]
    assert set(states) == {"converged"}, states
    before = counted(upgraded)
    with cable.sender() as sender:
        for source in ("203.0.113.9", "2001:db8:ccc::1"):
            sender.send(frame(source))
    assert counted(upgraded)["pass", "list_pass"] == before.get(("pass", "list_pass"), 0) + 2


def test_the_next_run_of_the_inventory_changes_nothing(upgraded):
    entries = {parse_prefix(one): action for one, action in INVENTORY.items()}
    policy = Policy(NIC, entries=entries, pin_root=str(upgraded.root), state_directory=str(upgraded.directory))
    assert not converge(XdpMap(policy), policy, Host()).changed


def test_until_the_program_comes_the_old_one_gets_its_entries_back(released):
    """A host that boots between the new agent and the new program."""
    with bpf.pinned(released.pin("maps/acl_v4")) as trie:
        bpf_map.delete(trie, [parse_prefix("203.0.113.0/24").key])
    results = agent.reapply(Host(), str(released.directory))
    assert not [one for one in results if one.error], results
    with bpf.pinned(released.pin("maps/acl_v4")) as trie:
        keys = bpf_map.items(trie, bpf.map_info(trie).layout).keys()
    assert parse_prefix("203.0.113.0/24").key in keys
    assert parse_prefix("198.51.100.7/32").key in keys
    assert {one.state for one in agent.reapply(Host(), str(released.directory), check=True)} == {"converged"}


def test_an_upgrade_that_fails_leaves_release_one_as_it_was(released, xdp_object, monkeypatch):
    before, files = rules_of_release_one(released), contents(released.directory)

    def refuse(*_unused: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(bpf, "update_link", refuse)
    with pytest.raises(ApplyFailed, match="what was before is back"):
        released.upgrade(xdp_object)
    monkeypatch.undo()
    assert rules_of_release_one(released) == before
    assert contents(released.directory) == files
    assert sorted(os.listdir(released.pin("maps"))) == ["acl_v4", "acl_v6", "counters", "rodata", "trace"]


def test_an_upgrade_that_nobody_confirms_is_reverted(released, xdp_object, monkeypatch):
    monkeypatch.setattr(saved, "orphans", lambda *_unused: [])  # no agent runs here, so that no guard speaks of it
    before, files = rules_of_release_one(released), contents(released.directory)
    desired = released.upgraded(xdp_object)
    state = XdpProgram(desired).read(Host())
    kept = saved.save(desired, state)
    paths = saved.Protection(Host(), desired, "never", 60).state_files(state)
    texts = {path: Host().read(path) for path in paths}
    released.upgrade(xdp_object)
    # As the agent reverts: files first, then what was attached.
    for path, text in texts.items():
        Host().remove(path) if text is None else Host().write_atomically(path, f"{text}\n")
    saved.restore(kept.body, Host())
    kept.drop()
    assert rules_of_release_one(released) == before
    assert contents(released.directory) == files
    assert {one.state for one in agent.reapply(Host(), str(released.directory), check=True)} == {"converged"}


def rules_of_release_one(released: Released) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for version in (4, 6):
        with bpf.pinned(released.pin(f"maps/acl_v{version}")) as trie:
            found |= bpf_map.items(trie, bpf.map_info(trie).layout)
    return found


def contents(directory: Path) -> dict[str, object]:
    return {path.name: json.loads(path.read_text()) for path in sorted(directory.iterdir())}


@pytest.mark.parametrize("following", ["module", pytest.param("agent", marks=pytest.mark.full)])
def test_an_upgrade_that_was_killed_is_finished(released, released_object, xdp_object, tmp_path, following):
    newer = tmp_path / "hollow.bpf.o"
    newer.write_bytes(hollow(xdp_object.read_bytes()))
    expected = {one: ("inventory", action) for one, action in INVENTORY.items()}
    expected |= {one: ("api", action) for one, action in API.items()}
    for moment in sweep(lambda: released.upgrade(newer), 60):
        if following == "agent":
            results = agent.reapply(Host(), str(released.directory))
            assert not [one for one in results if one.error], f"{moment}: {results}"
        forked.carry_out(lambda: released.upgrade(newer))
        assert released.rules() == expected, str(moment)
        assert not released.leftovers(), str(moment)
        states = {one.state for one in agent.reapply(Host(), str(released.directory), check=True)}
        assert states == {"converged"}, str(moment)
        absent = released.absent()
        forked.carry_out(partial(converge, XdpProgram(absent), absent, Host()))
        shutil.rmtree(released.directory, ignore_errors=True)
        Released(released_object, released.root, released.directory)
