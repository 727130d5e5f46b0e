"""The last revisions of a policy, on a machine made of files."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.policy_history import KEPT, History
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp import policy_documents


def rules(*names):
    return {"rules": [{"id": name, "action": "drop"} for name in names]}


@pytest.fixture
def host(machine):
    return machine()


@pytest.fixture
def history(host):
    return History(host, "edge")


def put(host, history, *names, owner="api", **words):
    policy_documents.store(host, "edge", owner, rules(*names))
    return history.record(1000.0, requested=True, owner=owner, **words)


def test_who_when_why_and_what_are_kept(host, history):
    put(host, history, "a", owner="inventory", by="ansible")
    made = put(host, history, "b", by="alice", name="quiet", why="a scan")
    assert history.revisions()[-1] == made
    assert (made.number, made.time, made.owner, made.by, made.name, made.why) == (
        2,
        1000.0,
        *("api", "alice"),
        *("quiet", "a scan"),
    )
    assert list(made.summary) == ["api: rule b: new (action drop)"]
    assert history.states(pending=False) == {1: "superseded", 2: "current"}
    assert history.states(pending=True) == {1: "superseded", 2: "pending"}


def test_what_is_in_force_already_is_no_new_revision(host, history):
    first = put(host, history, "a", by="alice")
    assert history.record(2000.0, by="bob") == first
    assert len(history.revisions()) == 1


def test_what_was_before_is_a_new_revision_when_it_is_requested_again(host, history):
    for name in "aba":
        made = put(host, history, name)
    assert made.number == history.current().number == 3
    assert history.states(pending=False) == {1: "superseded", 2: "superseded", 3: "current"}
    assert list(made.summary) == ["api: rule b: removed", "api: rule a: new (action drop)"]


def test_what_changed_without_a_word_is_found(host, history):
    put(host, history, "a")
    policy_documents.store(host, "edge", "inventory", rules("z"))
    assert history.current() is None
    found = history.record(3000.0)
    assert (found.owner, found.by, list(found.summary)) == ("", "", ["inventory: rule z: new (action drop)"])


def test_files_that_are_restored_make_an_earlier_revision_the_current_one(host, history):
    put(host, history, "a")
    put(host, history, "b")
    # As a guard does it, which knows nothing of revisions.
    policy_documents.store(host, "edge", "api", rules("a"))
    assert history.current().number == 1
    assert history.states(pending=False) == {1: "current", 2: "reverted"}
    history.record(2000.0)
    made = put(host, history, "c")
    assert list(made.summary) == ["api: rule a: removed", "api: rule c: new (action drop)"]
    assert history.states(pending=False) == {1: "superseded", 2: "reverted", 3: "current"}


def test_the_last_ten_are_kept_and_the_files_of_no_others(host, history):
    for number in range(KEPT + 5):
        put(host, history, f"r{number}")
    kept = history.revisions()
    assert [one.number for one in kept] == list(range(6, KEPT + 6))
    assert len(host.list("/var/lib/tripod/policy/edge")) == KEPT + 1
    assert history.body(kept[0], "api")["document"] == rules("r5")


def test_a_file_that_did_not_change_is_kept_once(host, history):
    put(host, history, "big", owner="inventory")
    for name in "abc":
        put(host, history, name)
    assert len(host.list("/var/lib/tripod/policy/edge")) == 1 + 1 + 3


def test_an_owner_who_had_no_file_has_nothing_to_go_back_to(host, history):
    made = put(host, history, "a", owner="inventory")
    assert history.body(made, "api") == {}


@pytest.mark.parametrize(("text", "what"), [(None, "gone"), ("{}", "damaged")])
def test_a_revision_whose_file_is_not_as_it_was_is_refused(host, history, text, what):
    made = put(host, history, "a")
    place = f"/var/lib/tripod/policy/edge/{made.files['api']}"
    if text is None:
        host.remove(place)
    else:
        host.write_atomically(place, text)
    with pytest.raises(Impossible, match=rf"revision 1 of policy edge cannot be had again: {place} is {what}"):
        history.body(made, "api")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}', '{"format": 1, "revisions": [{"number": 1}]}'])
def test_a_damaged_history_is_begun_anew(host, history, text, caplog):
    host.write_atomically("/var/lib/tripod/policy/edge/revisions.json", text)
    made = put(host, history, "a")
    assert made.number == 1
    assert history.revisions() == [made]
    assert bool(text) == ("cannot be understood, so a new history begins" in caplog.text)


def test_policies_do_not_share_their_history(host, history):
    put(host, history, "a")
    assert History(host, "core").revisions() == []
