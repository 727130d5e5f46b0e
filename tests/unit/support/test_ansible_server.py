"""Modules that are run by children of one process, as by Ansible's own command each time."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support import ansible_server
from tests.support.ansible_child import Within
from tests.support.modules import environment, run_module

HERE = Within()
CLONE_NEWNET = 0x40000000  # linux/sched.h
LOCAL = ("localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}")


def ran(
    *words: str,
    seconds: float = 60,
    within: Within = HERE,
    **added: str,
) -> ansible_server.Done:
    given = {**environment(), **added}
    return ansible_server.server(given).run([*LOCAL, "-m", *words], given, within, seconds)


def commanded(command: str, **given: Any) -> ansible_server.Done:
    return ran("ansible.builtin.command", "-a", command, **given)


def test_a_module_says_what_it_returns_and_how_it_failed():
    assert not run_module("change_guard", {"state": "reported"}, check=True).changed
    refused = run_module("nic", {"nics": [{"name": "nosuch0"}]}, check=True)
    assert refused.failed
    assert "nosuch0" in refused.output


def test_status_and_words_are_those_of_the_command():
    done = commanded("false")
    assert done.status == 2
    assert "non-zero return code" in done.stdout
    done = ran("ansible.builtin.nosuch")
    assert done.status != 0
    assert "nosuch" in done.stdout


def test_each_has_its_own_environment():
    said = [commanded("printenv SOME", SOME=word).stdout for word in ("first", "second")]
    assert ["first" in one for one in said] == [True, False]
    assert "second" in said[1]


def test_a_module_has_the_command_above_it(tmp_path):
    """By which modules tell that the controller is on the host itself."""
    script = tmp_path / "above.sh"
    script.write_text(
        "pid=$$\n"
        "while [ $pid -gt 1 ]; do\n"
        "    tr '\\0' ' ' </proc/$pid/cmdline; echo\n"
        "    pid=$(sed 's/.*) [A-Z] //' /proc/$pid/stat | cut -d' ' -f1)\n"
        "done\n"
    )
    above = [line.split()[:2] for line in commanded(f"sh {script}").stdout.splitlines()]
    assert any(Path(word).name == "ansible" for words in above for word in words)


def test_what_takes_too_long_is_ended_and_said():
    with pytest.raises(AssertionError, match=r"ansible localhost .* takes more than 0\.1 s"):
        commanded("sleep 1", seconds=0.1)


def test_several_run_at_once():
    found = []
    threads = [threading.Thread(target=lambda: found.append(commanded("sleep 2").status)) for _each in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0, 0, 0]


def test_a_command_line_of_nsenter_is_understood_and_another_is_not():
    assert ansible_server.within(()) == Within()
    words = ["nsenter", "--target", "12", "--mount", "--net", "--wd=/tmp"]
    assert ansible_server.within(words) == Within(12, ["mnt", "net"], "/tmp")
    assert ansible_server.within(["nsenter", "--target", "12", "--all", "--wd=/tmp"]) is None
    assert ansible_server.within(["sh", "-c", 'umask 077; exec "$@"', "sh"]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of others are for root to enter")
def test_a_module_runs_where_it_is_told_to():
    command = ["unshare", "--net", "--mount", "--uts", "sh", "-c", "hostname inner; echo; read x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        place = Within(holder.pid, ["mnt", "net", "uts"], "/usr")
        done = commanded("sh -c 'hostname; pwd; ip -br link'", within=place)
        holder.communicate(b"\n")
    assert done.status == 0, done.stdout
    assert {"inner", "/usr"} <= set(done.stdout.split())
    assert done.stdout.count(" DOWN ") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are for root to make")
def test_a_module_runs_where_the_thread_is_that_asks():
    """Whichever thread started the process that has Ansible loaded, and wherever that was."""
    found: list[str] = []

    def ask() -> None:
        found.append(commanded("ip -br link").stdout)

    def elsewhere() -> None:
        assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
        ask()

    for act in (elsewhere, ask):
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
    assert (found[0].count("LOOPBACK"), found[0].count("\n")) == (1, 2)
    assert found[1].count("\n") == 1 + len(os.listdir("/sys/class/net"))
