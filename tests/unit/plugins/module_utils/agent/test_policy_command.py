"""What the command line says of changes: the real service on a real socket, for a policy that no interface names."""

from __future__ import annotations

import argparse
import os
import threading

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import policy_command
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_bans import Bans
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_client import call
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_errors import Forbidden, Missing
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_places import Trusted
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_protocol import Request
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_server import Peer, Server
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_service import PolicyService
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_shapes import OPERATIONS
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._guard.record import Record, remove_record, store_record
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_documents
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_assignment import Assignment
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_set import DesiredPolicy, PolicySet

STATES = "/etc/tripod/host.d"


class Agent:
    def __init__(self, root):
        self.host, self.path = Host(root), str(root / "run" / "policy.sock")
        bans = Bans(self.host, dict, Trusted(self.host, STATES))
        self.service = service = PolicyService(self.host, bans, STATES)
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=Server(self.path, os.getgid(), [os.getuid()], service.handle).run, args=(self._ended,)
        )
        self._thread.start()

    def declare(self, policy, document):
        policy_documents.store(self.host, policy, "inventory", document, STATES)

    def place(self, interface, policy):
        Assignment(interface, policy, state_directory=STATES).store(self.host)

    def put(self, *prefixes):
        document = {"lists": [{"name": "guests", "prefixes": list(prefixes)}]}
        return call(self.path, "put", policy="edge", document=document)["revision"]

    def end(self):
        self._ended.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


def apply(host, document):
    """Apply a document of the inventory's, as the module does."""
    desired = DesiredPolicy("edge", [], document, state_directory=STATES)
    return converge(PolicySet(desired), desired, host, False)


@pytest.fixture
def agent(tmp_path):
    started = Agent(tmp_path)
    started.declare("edge", {"default": "drop"})
    yield started
    started.end()


@pytest.fixture
def said(agent, capsys):
    parser = argparse.ArgumentParser()
    policy_command.add_arguments(parser)

    def run(*words):
        assert policy_command.run(parser.parse_args([*words, "--socket", agent.path])) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_who_goes_back_to_what_only_the_inventory_changed_since_is_told(agent, said):
    first = agent.put("192.0.2.0/24")
    agent.declare("edge", {"default": "pass"})
    [line] = said("revert", str(first), "--policy", "edge")
    assert line.startswith(f"the part of owner api in revision {first} is what is in force, in revision {first + 1}")
    assert f"'tripod-host policy restore {first}' goes back with the parts of all owners" in line
    assert said("revert", str(first), "--policy", "edge", "--dry-run") == [f"nothing would change: {line}"]
    assert policy_documents.load(agent.host, "edge", "inventory", STATES) == {"default": "pass"}


def test_a_revision_is_restored_with_the_parts_of_all_owners(agent, said):
    first = agent.put("192.0.2.0/24")
    agent.declare("edge", {"default": "pass", "lists": [{"name": "later", "prefixes": ["10.0.0.0/8"]}]})
    policy_documents.store(agent.host, "edge", "feed:new", {"lists": [{"name": "fed", "prefixes": []}]}, STATES)
    agent.put("198.51.100.0/24")
    summary = [
        "inventory: list later: removed",
        "inventory: default: pass -> drop",
        "feed:new: list fed: removed",
        "api: list guests: prefixes: 1 added (192.0.2.0/24), prefixes: 1 removed (198.51.100.0/24)",
        "warning: the next run of the playbook brings the inventory's part of policy edge back as it is there: change "
        "it there too",
    ]
    before = policy_documents.texts(agent.host, "edge", STATES)
    planned = said("restore", str(first), "--policy", "edge", "--dry-run")
    assert (sorted(planned[:-1]), planned[-1]) == (sorted(summary), "nothing was changed")
    assert policy_documents.texts(agent.host, "edge", STATES) == before
    done = said("restore", str(first), "--policy", "edge")
    assert sorted(done[:-1]) == sorted(summary)
    assert policy_documents.load_all(agent.host, "edge", STATES) == {
        "inventory": {"default": "drop"},
        "api": {"lists": [{"name": "guests", "prefixes": ["192.0.2.0/24"]}]},
    }
    newest, *others = call(agent.path, "history", policy="edge")["revisions"]
    [restored] = [one for one in others if one["revision"] == first]
    assert (newest["digest"], newest["name"]) == (restored["digest"], f"restored from revision {first}")
    assert sorted(newest["owner"].split(", ")) == ["api", "feed:new", "inventory"]
    again = said("restore", str(first), "--policy", "edge")
    assert again == [f"revision {newest['revision']} is in force already"]


def test_what_an_end_was_made_of_is_restored_with_it(agent, said):
    ending = {"lists": [{"name": "scanners", "prefixes": ["10.0.0.0/8"], "expires": "24h"}]}
    apply(agent.host, ending)
    held = policy_documents.load_body(agent.host, "edge", "inventory", STATES)
    first = agent.put("192.0.2.0/24")
    apply(agent.host, {"default": "drop"})
    said("restore", str(first), "--policy", "edge")
    assert policy_documents.load_body(agent.host, "edge", "inventory", STATES) == held
    assert not apply(agent.host, ending).changed, "the end was renewed"


def test_a_damaged_file_is_restored_too(agent, said):
    first = agent.put("192.0.2.0/24")
    for owner in ("api", "inventory"):
        agent.host.write_atomically(policy_documents.path("edge", owner, STATES), "{")
    assert said("restore", str(first), "--policy", "edge")[-1] == f"revision {first + 2} is in force"
    assert policy_documents.load(agent.host, "edge", "inventory", STATES) == {"default": "drop"}


def test_a_revision_that_is_not_kept_cannot_be_restored(agent, said):
    agent.put("192.0.2.0/24")
    with pytest.raises(Missing, match="there is no revision 4711 of policy edge; kept are 1, 2"):
        said("restore", "4711", "--policy", "edge")


def test_only_root_restores_a_revision_whole(agent):
    request = Request("1", "restore", {"policy": "edge", "revision": 1, "by": ""})
    with pytest.raises(Forbidden, match="restore reaches the inventory's part, which root on the host may change"):
        agent.service.handle(request, Peer(pid=1, uid=os.geteuid() + 1, gid=0))
    assert [op for op, one in OPERATIONS.items() if one.root] == ["restore"]


def test_what_no_interface_names_is_swept_out_unless_it_is_fresh_or_a_guard_is_armed(agent):
    agent.declare("old", {"default": "drop"})
    agent.declare("young", {"default": "drop"})
    agent.place("eth0", "edge")
    path = policy_documents.path("old", "inventory", STATES)
    # A run that was killed may have left what was expected of a policy, and nothing else of it.
    expected = [policy_documents.tests_path(policy, STATES) for policy in ("edge", "gone", "old")]
    for tests in expected:
        agent.host.write_atomically(tests, "{}")
    for one in (path, policy_documents.path("edge", "inventory", STATES), *expected):
        os.utime(agent.host.path(one), (0, 0))
    held = Record("one", "nic", "a change", 0.0, agent.host.boot_id, 1e12, 60.0)
    store_record(agent.host, held)
    agent.service.sweep()
    assert agent.host.exists(path)
    remove_record(agent.host, held)
    agent.service.sweep()
    # One run may part a policy from one interface and give it to another: what is removed was unnamed twice.
    assert agent.host.exists(path)
    agent.place("eth1", "edge")
    whole = agent.host.read(Assignment("eth1", state_directory=STATES).path)
    agent.host.write_atomically(Assignment("eth1", state_directory=STATES).path, "{")
    agent.service.sweep()
    # Nobody can tell which policy that interface has.
    assert agent.host.exists(path)
    agent.host.write_atomically(Assignment("eth1", state_directory=STATES).path, whole)
    agent.service.sweep()
    agent.service.sweep()
    assert policy_documents.names(agent.host, STATES) == ["edge", "young"]
    assert [agent.host.exists(tests) for tests in expected] == [True, False, False]


def test_files_that_others_could_read_are_closed_off(agent):
    agent.put("192.0.2.0/24")
    history = [f"/var/lib/tripod/policy/edge/{name}" for name in agent.host.list("/var/lib/tripod/policy/edge")]
    paths = [policy_documents.path("edge", owner, STATES) for owner in ("api", "inventory")] + history
    for path in paths:
        assert agent.host.path(path).stat().st_mode & 0o777 == 0o600
        agent.host.path(path).chmod(0o644)
    agent.service.sweep()
    assert {agent.host.path(path).stat().st_mode & 0o777 for path in paths} == {0o600}


def test_who_goes_back_to_what_is_in_force_whole_is_told_so(agent, said):
    current = agent.put("192.0.2.0/24")
    assert said("revert", str(current), "--policy", "edge") == [f"revision {current} is in force already"]


def test_who_goes_back_to_another_part_has_a_new_revision(agent, said):
    first, second = agent.put("192.0.2.0/24"), agent.put("198.51.100.0/24")
    *summary, last = said("revert", str(first), "--policy", "edge")
    assert last == f"revision {second + 1} is in force"
    assert len(summary) == 1


def test_the_policy_that_interfaces_name_is_meant(agent, said):
    agent.declare("old", {"default": "pass"})
    with pytest.raises(Invalid, match=r"--policy: which one\? there are edge, old"):
        said("show")
    agent.place("eth0", "edge")
    assert said("show")[0].startswith("policy edge, ")
    agent.place("eth1", "old")
    with pytest.raises(Invalid, match=r"--policy: which one\? there are edge, old"):
        said("show")


def test_what_a_policy_trusts_that_no_interface_names_holds_no_more(agent):
    trusted = Trusted(agent.host, STATES)
    agent.declare("edge", {"trusted": [{"prefix": "192.0.2.0/24"}]})
    agent.declare("old", {"trusted": [{"prefix": "198.51.100.0/24"}]})
    agent.place("eth0", "edge")
    assert [policy for _prefix, policy in trusted()] == ["edge"]
    agent.place("eth0", "old")
    assert [policy for _prefix, policy in trusted()] == ["old"]


def test_a_ban_reads_no_file_that_is_as_it_was(agent, monkeypatch):
    trusted, read = Trusted(agent.host, STATES), []
    agent.declare("edge", {"trusted": [{"prefix": "192.0.2.0/24"}]})
    agent.place("eth0", "edge")
    before = Host.read

    def noted(host, path):
        read.append(path)
        return before(host, path)

    monkeypatch.setattr(Host, "read", noted)
    first = trusted()
    assert len(read) == 2
    assert (trusted(), len(read)) == (first, 2)
    agent.place("eth1", "edge")
    assert (trusted(), len(read)) == (first, 4), "the two state files of interfaces, and not the document again"
