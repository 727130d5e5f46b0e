"""What the Makefile calls: bootstrap, play and check. Standard library only, as nothing else is there yet."""

import sys

# ansible-core 2.19, pinned in requirements.txt, runs its controller on these and on no others.
OLDEST, NEWEST = (3, 11), (3, 13)

if not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.exit(
        f"error: {sys.executable} is Python {sys.version_info[0]}.{sys.version_info[1]}, "
        f"but ansible-core needs 3.{OLDEST[1]} to 3.{NEWEST[1]} here. "
        "Name another interpreter, e.g.: make site PYTHON=python3.11"
    )
