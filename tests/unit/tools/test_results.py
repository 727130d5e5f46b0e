"""What the closing summary finds in the output of test runners."""

from __future__ import annotations

from tools.results import read

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
