"""Stands in for get-pip.py in ansible-test's sanity environments: installs pip from the wheel beside it.

ansible-test downloads get-pip.py from a host of its own, which a site with only a package index does not reach. It
looks for ``~/.ansible/test/cache/get_pip_<version>.py`` first, so a copy of this file with that name serves.
"""

import glob
import os
import sys

WHEEL = glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pip-*.whl"))[0]
sys.path.insert(0, WHEEL)

from pip._internal.cli.main import main  # noqa: E402

arguments = [WHEEL if word.startswith("pip==") else word for word in sys.argv[1:]]
sys.exit(main(["install", *(word for word in arguments if word not in ("--no-setuptools", "--no-wheel"))]))
