"""Data that follows its user: all of it, nothing else, and through no link."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.owned_tree import OwnedTree, TreeState

TREE = OwnedTree("/data", 564, [10004, 564])


def test_what_belongs_to_a_former_user_follows():
    state = TreeState((10004, 10004), {(10004, 10004): 7, (564, 10004): 2, (0, 0): 1})
    TREE.validate(True, state)
    assert [(change.path, change.before, change.after) for change in TREE.plan(True, state)] == [
        (("/data", "owner", "7 entries"), 10004, 564),
        (("/data", "group", "9 entries"), 10004, 564),
    ]


def test_what_is_right_or_not_there_is_left_alone():
    assert TREE.plan(True, TreeState((564, 564), {(564, 564): 9, (0, 0): 1})) == []
    TREE.validate(True, TreeState())
    assert TREE.plan(True, TreeState()) == []


def test_a_tree_of_somebody_else_is_refused_with_both_ways_out():
    with pytest.raises(
        Refused, match=r"uid 101, and not to 564, 10004: .*former users, or run 'chown -R 564:564 /data'"
    ):
        TREE.validate(True, TreeState((101, 101), {(101, 101): 3}))


def test_an_empty_directory_is_nobody_s_yet(tmp_path):
    """As a volume is that the engine has just made, and no container had yet."""
    tree = OwnedTree(str(tmp_path), 564, [10004])
    state = tree.read(Host())
    tree.validate(True, state)
    assert tree.plan(True, state) == []
    (tmp_path / "somebody's").touch()
    with pytest.raises(Refused):
        tree.validate(True, tree.read(Host()))


def test_a_file_is_no_tree(machine):
    with pytest.raises(Impossible, match="is no directory"):
        TREE.read(machine({"/data": "x"}))
