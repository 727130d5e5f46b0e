"""What the closing summary finds in the output of test runners."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools import stages
from tools.results import read
from tools.run import CommandFailed

OUTPUT = """
tests/e2e/test_api.py::test_one PASSED                                   [ 50%]
tests/e2e/test_api.py::test_two[a b] FAILED                              [100%]
=========================== short test summary info ============================
SKIPPED [2] tests/e2e/test_api.py:7: no engine here
FAILED ../../tests/e2e/test_api.py::test_two[a b] - AssertionError: 1 is not 2
\x1b[31mERROR\x1b[0m ../../tests/e2e/test_api.py::test_three - OSError: gone
==== 1 failed, 1 passed, 2 skipped, 1 warning, 1 error in 311.39s (0:05:11) ====
CRITICAL Verifier tests failed
ERROR    Molecule executed 1 scenario (1 failed)
"""


def test_every_failure_and_skip_is_told_with_its_reason():
    results = read(OUTPUT)
    assert results.failures == [
        "../../tests/e2e/test_api.py::test_two[a b] - AssertionError: 1 is not 2",
        "../../tests/e2e/test_api.py::test_three - OSError: gone",
    ]
    assert results.skips == ["tests/e2e/test_api.py:7: no engine here"]
    assert results.closing == ["1 failed, 1 passed, 2 skipped, 1 warning, 1 error in 311.39s (0:05:11)"]
    assert (results.passed, results.failed, results.skipped) == (1, 2, 2)


def test_the_closing_lines_of_several_runs_add_up():
    results = read("1675 passed in 23.69s\n#12 5.2 ==== 266 passed, 1 skipped in 56.63s ====\n")
    assert results.closing == ["1675 passed in 23.69s", "266 passed, 1 skipped in 56.63s"]
    assert (results.passed, results.failed, results.skipped) == (1941, 0, 1)


def test_a_test_takes_what_its_fixtures_and_its_call_take():
    results = read(
        "============================= slowest durations ==============================\n"
        "42.10s call     ../../tests/metal/test_vm.py::test_one[a b]\n"
        "\x1b[1m3.40s setup    ../../tests/metal/test_vm.py::test_one[a b]\n"
        "1.25s teardown tests/unit/test_two.py::test_two\n"
        "\n(32 durations < 1s hidden.)\n"
        "    12.00s call of something else\n"
    )
    assert results.seconds == {
        "../../tests/metal/test_vm.py::test_one[a b]": pytest.approx(45.5),
        "tests/unit/test_two.py::test_two": 1.25,
    }


def test_go_tells_of_its_slow_tests_too():
    log = "ok  \ttripod/x\t12.64s\n--- PASS: TestOne (12.50s)\n    --- PASS: TestOne/part (12.00s)\n"
    assert read(log).seconds == {"TestOne": 12.5}


def test_tests_that_were_left_out_are_counted_apart():
    results = read("=========== 41 passed, 1 skipped, 37 deselected in 311.39s (0:05:11) ===========\n")
    assert (results.passed, results.failed, results.skipped, results.deselected) == (41, 0, 1, 37)


TRIES = """
========================= rerun test summary info ==========================
RERUN tests/integration/test_watch.py::test_one[a b]
    def test_one(thing):
>       assert n[0]>1, "first"
E       AssertionError: first
E       assert 1 > 1

test_watch.py:9: AssertionError
PASSED tests/integration/test_watch.py::test_one[a b]
RERUN tests/unit/test_two.py::test_two
E   OSError: gone
FAILED tests/unit/test_two.py::test_two
RERUN tests/unit/test_three.py::test_three
PASSED tests/unit/test_three.py::test_three
=========================== short test summary info ============================
FAILED tests/unit/test_two.py::test_two - OSError: gone
1 failed, 2 passed, 3 rerun in 0.02s
"""


def test_a_test_that_passed_when_it_was_tried_once_more_is_named_with_what_it_had_failed_by():
    results = read(TRIES)
    assert results.unsteady == [
        "tests/integration/test_watch.py::test_one[a b] - AssertionError: first",
        "tests/unit/test_three.py::test_three - it did not say why",
    ]
    assert results.failures == ["tests/unit/test_two.py::test_two - OSError: gone"]
    assert results.closing == ["1 failed, 2 passed, 3 rerun in 0.02s"]
    assert (results.passed, results.failed) == (2, 1)


def test_what_pytest_prints_of_tries_is_what_is_read(tmp_path):
    """By the very options with which molecule runs it, on a test that fails once, and on one that always does."""
    file = tmp_path / "test_some.py"
    file.write_text(
        "tries = []\n\n\ndef test_once():\n    tries.append(1)\n    assert len(tries) > 1, 'too early'\n\n\n"
        "def test_never():\n    raise OSError('gone')\n"
    )
    options = [one for one in stages.IN_PLACE.split() if "delay" not in one]
    words = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *options]
    printed = subprocess.run([*words, str(file)], capture_output=True, text=True, cwd=tmp_path, check=False).stdout
    results = read(printed)
    assert [one.partition("::")[2] for one in results.unsteady] == ["test_once - AssertionError: too early"]
    assert [one.partition("::")[2] for one in results.failures] == ["test_never - OSError: gone"]
    assert (results.passed, results.failed) == (1, 1)


ONCE = """import pathlib


def test_once[NUMBER]():
    noted = pathlib.Path(__file__).with_suffix(".[NUMBER]")
    again = noted.exists()
    noted.touch()
    assert again, "too early"
"""
ALWAYS = "def test_always():\n    assert True\n\n\ndef test_never():\n    raise OSError('gone')\n"


def _tested(tmp_path, monkeypatch, *bodies: str) -> str:
    """Run a stage's tests, of which some fail, and return what was printed."""
    monkeypatch.setattr("tools.run.LOGS", tmp_path)
    monkeypatch.setattr("tools.run.ROOT", tmp_path)
    (tmp_path / "test_some.py").write_text("\n\n".join(bodies))
    words = [sys.executable, "-m", "pytest", "-ra", "-o", f"cache_dir={tmp_path}/cache", f"--rootdir={tmp_path}"]
    try:
        stages._tested("some", [*words, tmp_path / "test_some.py"], ("--durations=0",), cwd=tmp_path)
    except CommandFailed:
        (tmp_path / "failed").touch()
    return (tmp_path / "some.log").read_text()


def test_a_test_that_passes_by_itself_is_named_and_the_stage_goes_on(tmp_path, monkeypatch):
    bodies = [ONCE.replace("[NUMBER]", str(number)) for number in range(stages.FAILURES)]
    results = read(_tested(tmp_path, monkeypatch, *bodies, "def test_always():\n    assert True\n"))
    assert not (tmp_path / "failed").exists()
    names = [one.partition("::")[2] for one in results.unsteady]
    assert names == [f"test_once{number} - AssertionError: too early" for number in range(stages.FAILURES)]
    assert (results.failures, results.passed, results.failed, results.deselected) == ([], 1 + stages.FAILURES, 0, 0)
    assert len(results.closing) == 2


def test_a_test_that_fails_by_itself_too_fails_the_stage_and_counts_once(tmp_path, monkeypatch):
    results = read(_tested(tmp_path, monkeypatch, ALWAYS))
    assert (tmp_path / "failed").exists()
    assert [one.partition("::")[2] for one in results.failures] == ["test_never - OSError: gone"]
    assert (results.unsteady, results.passed, results.failed) == ([], 1, 1)


def test_where_many_fail_none_is_tried_once_more(tmp_path, monkeypatch):
    bodies = [ONCE.replace("[NUMBER]", str(number)) for number in range(stages.FAILURES + 1)]
    results = read(_tested(tmp_path, monkeypatch, *bodies))
    assert (tmp_path / "failed").exists()
    assert (len(results.failures), len(results.closing)) == (stages.FAILURES + 1, 1)


def test_what_is_no_test_that_failed_is_not_tried_once_more(tmp_path, monkeypatch):
    results = read(_tested(tmp_path, monkeypatch, "import nothing_of_that_name\n"))
    assert (tmp_path / "failed").exists()
    assert len(results.closing) == 1


def test_tests_in_go_that_passed_when_their_package_was_tried_once_more_are_named():
    assert read("ok tripod/x 1.2s\nUNSTEADY TestOne\n").unsteady == ["TestOne"]
