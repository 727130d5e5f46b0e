"""Boot arguments within the kernel's command line."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_plan import contains_run


@pytest.mark.parametrize(
    ("tokens", "run", "held"),
    [("a b c", "b c", True), ("a b c", "a c", False), ("a b c", "c b", False), ("a", "", True), ("", "a", False)],
)
def test_a_run_is_unbroken_and_in_order(tokens, run, held):
    assert contains_run(tokens.split(), run.split()) is held
