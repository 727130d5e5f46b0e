"""Secrets as files."""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    Invalid,
    Refused,
    converge,
    exit_arguments,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.secret_files import (
    ALONE,
    ALPHABET,
    WITH_FORMER,
    Copy,
    Secret,
    SecretFiles,
    generation,
)

# Without root a file can only be given to oneself.
USER, GROUP = os.getuid(), os.getgid()
FIRST, SECOND = "/etc/site/secrets/database/password", "/etc/site/secrets/api/password"


def secret(value=None, length=32, paths=(FIRST, SECOND), name="password", renew=""):
    return Secret(name, tuple(Copy(path, USER, GROUP) for path in paths), length, value, renew=renew)


def bring(host, *desired, present=True, check=False):
    return converge(SecretFiles(desired), present, host, check)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def text(host, path):
    return host.path(path).read_text()


def mode(host, path):
    return stat.S_IMODE(host.path(path).stat().st_mode)


def test_a_secret_is_generated_once_and_every_copy_is_the_same(host):
    assert bring(host, secret(length=40)).changed
    value = text(host, FIRST)
    assert len(value) == 40
    assert set(value) <= set(ALPHABET)
    assert text(host, SECOND) == value
    assert not bring(host, secret(length=40)).changed
    assert text(host, FIRST) == value


def test_two_secrets_are_never_the_same(host):
    bring(host, secret(paths=[FIRST]), secret(paths=[SECOND], name="other"))
    assert text(host, FIRST) != text(host, SECOND)


def test_only_the_owner_may_read_and_nobody_may_list(host):
    bring(host, secret())
    assert mode(host, FIRST) == 0o400
    assert mode(host, "/etc/site/secrets/database") == 0o711
    assert mode(host, "/etc/site") == 0o711


def test_check_mode_writes_nothing(host):
    outcome = bring(host, secret(), check=True)
    assert outcome.changed
    assert host.list("/") == []


def test_no_value_shows_in_what_a_module_returns(host):
    outcome = bring(host, secret("a-value-of-our-own"))
    shown = json.dumps(exit_arguments(outcome)) + repr(outcome) + repr(secret("a-value-of-our-own"))
    assert "a-value-of-our-own" not in shown
    assert "present" in shown
    outcome = bring(host, secret("another-value-of-ours"))
    assert outcome.changed
    shown = json.dumps(exit_arguments(outcome)) + repr(outcome)
    assert "value-of-our" not in shown


def test_the_first_copy_that_exists_is_the_truth(host):
    bring(host, secret())
    value = text(host, SECOND)
    host.remove(FIRST)
    bring(host, secret())
    assert text(host, FIRST) == value
    host.write_atomically(SECOND, "something else", 0o400)
    outcome = bring(host, secret())
    assert [change.path for change in outcome.changes] == [(SECOND, "value")]
    assert text(host, SECOND) == value


def test_an_empty_file_holds_no_secret(host):
    host.write_atomically(FIRST, "", 0o400)
    bring(host, secret())
    assert len(text(host, FIRST)) == 32


def test_a_given_value_replaces_what_is_there_and_stays(host):
    bring(host, secret())
    bring(host, secret("given-by-hand"))
    assert (text(host, FIRST), text(host, SECOND)) == ("given-by-hand", "given-by-hand")
    assert not bring(host, secret("given-by-hand")).changed
    assert not bring(host, secret()).changed


def test_another_value_is_made_when_that_is_requested_and_the_one_before_stays_below(host):
    bring(host, secret())
    first = text(host, FIRST)
    assert bring(host, secret(renew=WITH_FORMER), check=True).changed
    assert text(host, FIRST) == first
    assert bring(host, secret(renew=WITH_FORMER)).changed
    second, former = text(host, FIRST).splitlines()
    assert (len(second), former) == (32, first)
    assert second != first
    assert text(host, SECOND) == text(host, FIRST)
    # What stands stays, both lines of it.
    assert not bring(host, secret()).changed
    assert text(host, FIRST).splitlines() == [second, first]
    bring(host, secret(renew=WITH_FORMER))
    assert text(host, FIRST).splitlines()[1:] == [second]
    assert bring(host, secret(renew=ALONE)).changed
    alone = text(host, FIRST)
    assert len(alone) == 32
    assert alone not in (first, second)


def test_where_there_was_none_another_value_is_the_first(host):
    assert bring(host, secret(renew=WITH_FORMER)).changed
    assert len(text(host, FIRST)) == 32


def test_a_wrong_mode_is_put_right(host):
    bring(host, secret())
    value = text(host, FIRST)
    host.path(FIRST).chmod(0o644)
    outcome = bring(host, secret())
    assert outcome.diff == {"before": {FIRST: {"mode": "0644"}}, "after": {FIRST: {"mode": "0400"}}}
    assert mode(host, FIRST) == 0o400
    assert text(host, FIRST) == value


def test_the_generation_differs_after_a_write_only(host):
    first = generation(bring(host, secret()).state)
    assert generation(bring(host, secret()).state) == first
    assert generation(bring(host, secret("given-by-hand")).state) != first


def test_removal_takes_the_directories_we_made_and_no_other(host):
    host.path("/etc").mkdir(mode=0o755)
    host.path("/etc").chmod(0o755)
    bring(host, secret())
    host.write_atomically("/etc/site/other", "not ours")
    outcome = bring(host, secret(), present=False)
    assert [change.after for change in outcome.changes] == [None, None]
    assert host.list("/etc/site") == ["other"]
    host.remove("/etc/site/other")
    bring(host, secret())
    bring(host, secret(), present=False)
    assert host.list("/etc") == []
    assert not bring(host, secret(), present=False).changed


def test_what_an_engine_puts_in_place_of_a_missing_mount_is_explained(host):
    host.path(FIRST).mkdir(parents=True)
    with pytest.raises(Refused, match=f"{FIRST} is a directory .a container engine makes one"):
        bring(host, secret())


def test_a_symbolic_link_is_refused(host):
    host.path(FIRST).parent.mkdir(parents=True)
    host.path(FIRST).symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="neither absent nor a regular file"):
        bring(host, secret())


def test_every_malformed_option_is_named_before_anything_is_written(host):
    with pytest.raises(Invalid) as caught:
        bring(
            host,
            secret(),
            Secret("password", (Copy(FIRST), Copy("relative/path"), Copy("/a/../b", -1)), length=8, value="short"),
            Secret("useless", (), value="newline-at-end\n"),
            Secret("both", (Copy("/etc/site/both"),), value="value-of-ours", renew=ALONE),
        )
    reasons = "\n".join(caught.value.facts["reasons"])
    for words in (
        "name password is given 2 times",
        f"path {FIRST} is given 2 times",
        "password: length 8 is outside 16 to 1024",
        "password: path relative/path is not absolute",
        "password: path /a/../b is not absolute and plain",
        "owner -1",
        "the given value has 5 characters, 8 to 4096 are accepted",
        "useless: no copy is named",
        "useless: the given value holds a control character",
        "both: a value is given, so none can be generated anew",
    ):
        assert words in reasons
    assert "short" not in reasons
    assert host.list("/") == []


def test_a_text_of_several_lines_is_taken_where_it_is_said_to_be_one(host):
    text_of_lines = "-----BEGIN-----\nlines\n"
    several = Secret("certificate", (Copy(FIRST, USER, GROUP),), value=text_of_lines, multiline=True)
    assert bring(host, several).changed
    assert text(host, FIRST) == text_of_lines
    assert not bring(host, several).changed
    with pytest.raises(Invalid) as caught:
        bring(
            host,
            Secret("long", (Copy(SECOND, USER, GROUP),), value="l" * 65537, multiline=True),
            Secret("bell", (Copy("/etc/site/bell", USER, GROUP),), value="bell\a and more\n", multiline=True),
        )
    assert caught.value.facts["reasons"] == [
        "long: the given value has 65537 characters, 8 to 65536 are accepted",
        "bell: the given value holds a control character",
    ]


def test_a_failed_write_leaves_no_part_of_a_secret(host, monkeypatch):
    def full(*_paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Exception, match=f"password: {FIRST}: No space left on device"):
        bring(host, secret())
    assert host.list("/etc/site/secrets/database") == []
