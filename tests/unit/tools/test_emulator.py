"""What the kernel is told of programs of arm64, and what it says of them."""

from __future__ import annotations

import pytest

from tools import emulator
from tools.console import Failure

# As Linux 6.18 shows it.
ENTRY = f"""\
enabled
interpreter /usr/bin/qemu-aarch64
flags: POCF
offset 0
magic {emulator.MAGIC}
mask {emulator.MASK}
"""


def test_a_registration_that_is_there_is_used():
    assert emulator.interpreter(ENTRY) == "/usr/bin/qemu-aarch64"


@pytest.mark.parametrize(
    ("part", "other"), [("enabled", "disabled"), ("POCF", "POC"), (emulator.MAGIC, emulator.MAGIC.replace("b7", "3e"))]
)
def test_one_that_serves_no_container_is_refused(part, other):
    with pytest.raises(Failure, match="flag F"):
        emulator.interpreter(ENTRY.replace(part, other))
