"""A policy as a file: a prefix and an action a line."""

from __future__ import annotations

import os

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_entries import parse_entries, read_file

GOOD = """\
# Those who scan.
203.0.113.0/24 drop
203.0.113.128/25\tpass  # but for ours

2001:db8:bad::/48
198.51.100.7
"""


def parsed(entries):
    return {str(prefix): action for prefix, action in entries.items()}


def written(tmp_path, text):
    path = tmp_path / "acl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_file_has_a_prefix_and_an_action_a_line(tmp_path):
    assert parsed(parse_entries([], read_file(written(tmp_path, GOOD)))) == {
        "203.0.113.0/24": "drop",
        "203.0.113.128/25": "pass",
        "2001:db8:bad::/48": "drop",
        "198.51.100.7/32": "drop",
    }


def test_entries_and_a_file_are_one_policy(tmp_path):
    lines = read_file(written(tmp_path, "203.0.113.0/24\r\n"))
    options = [{"prefix": "192.0.2.0/24", "action": "pass"}]
    assert parsed(parse_entries(options, lines)) == {"192.0.2.0/24": "pass", "203.0.113.0/24": "drop"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# one\n10.0.0.0/33\n", "acl line 2: '10.0.0.0/33': prefix length 33 > 32"),
        ("10.0.0.1/8\n", "acl line 1: '10.0.0.1/8' has bits set behind its length: write 10.0.0.0/8"),
        ("10.0.0.0/8 deny\n", "acl line 1: '10.0.0.0/8': action 'deny' is not one of drop, pass"),
        ("10.0.0.0/8 drop now\n", "acl line 1: '10.0.0.0/8 drop now' has 3 words: give a prefix and an action"),
        ("10.0.0.0/8\n\n10.0.0.0/8 pass\n", "acl line 1 and "),
        ("10.0.0.0/8,drop\n", "acl line 1: '10.0.0.0/8,drop': prefix length '8,drop' is not a number"),
        (b"10.0.0.0/8 \xff\n", "is no text in UTF-8: byte 11 is wrong"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(Invalid) as caught:
        parse_entries([], read_file(written(tmp_path, text)))
    assert said in str(caught.value)


def test_of_many_mistakes_the_first_are_shown(tmp_path):
    with pytest.raises(Invalid) as caught:
        parse_entries([], read_file(written(tmp_path, "10.0.0.0/33\n" * 1000)))
    assert "and 980 more" in str(caught.value)


@pytest.mark.parametrize("kind", ["absent", "directory", "pipe", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    path = {"device": "/dev/zero", "directory": str(tmp_path)}.get(kind, str(tmp_path / kind))
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(Invalid, match="src: "):
        read_file(path)


def test_it_takes_an_entry_of_the_inventory_and_one_of_the_file_for_the_same_once(tmp_path):
    with pytest.raises(Invalid, match=r"entries\[0\] and .*acl line 1: 10.0.0.0/8 is given twice"):
        parse_entries([{"prefix": "10.0.0.0/8", "action": "drop"}], read_file(written(tmp_path, "10.0.0.0/8\n")))
