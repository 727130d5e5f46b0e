"""This collection's tests of programs, maps and sockets, run by the guest on its own kernel.

``make test-kernels`` runs them on the oldest and on the newest kernel that Debian has for the hosts that are supported.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.metal.conftest import Tried
from tests.metal.guest import kernel
from tests.support import go_backend

pytestmark = pytest.mark.full
ROOT = Path(__file__).resolve().parents[2]
PLACE, COLLECTION = "/var/tmp/tripod-kernel", ".cache/collections/ansible_collections/tripod/baremetal"
OBJECT = f"{PLACE}/tripod_xdp.bpf.o"
OF_US = ("pyproject.toml", "plugins", "tools", "files/bpf", "tests/__init__.py", "tests/integration", "tests/support")
# What pytest is, and what Ansible gives modules on a host: no packages of the guest, whose pytest is older.
OF_OTHERS = ("_pytest", "iniconfig", "packaging", "pluggy", "py", "pygments", "pytest")
OF_ANSIBLE = ("__init__.py", "release.py", "module_utils")
# Every part of a policy alone and all together by chance, each with what of the program is in use switched on and
# nothing else; what modules do with programs, policies and pins. Without what is by the clock, as emulation has none.
FILES = (
    *("test_policy_fuzz", "test_policy_program", "test_policy_syncookie"),
    *("test_xdp_parser", "test_xdp_policy", "test_xdp_program"),
)
FRAMES = 4000
PACKAGES = ("dataplane", "handlers", "umem", "worker", "workers", "xsk")


@pytest.fixture(scope="module")
def checkout(vm: Tried, host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The tests and what they take, on the guest."""
    archive = tmp_path_factory.mktemp("guest") / "checkout.tar"
    with tarfile.open(archive, "w") as tar:
        for name in OF_US:
            tar.add(ROOT / name, name, filter=_source)
        for name in OF_OTHERS:
            tar.add(_where(name), _where(name).name, filter=_source)
        ansible = _where("ansible")
        for name in OF_ANSIBLE:
            tar.add(ansible / name, f"ansible/{name}", filter=_source)
        tar.add(os.environ["TRIPOD_XDP_OBJECT"], Path(OBJECT).name)
    host.check_output(f"mkdir --parents {PLACE}")
    assert vm.copy(str(archive), f":{PLACE}/") == 0
    host.check_output(f"tar -xf {PLACE}/{archive.name} -C {PLACE} && mkdir --parents {PLACE}/{Path(COLLECTION).parent}")
    host.check_output(f"ln --symbolic {PLACE} {PLACE}/{COLLECTION}")
    yield PLACE
    host.check_output(f"rm --recursive {PLACE}")


def _where(name: str) -> Path:
    """Return a package's directory, or a module's file."""
    path = Path(str(import_module(name).__file__))
    return path.parent if path.stem == "__init__" else path


def _source(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(member.name).name == "__pycache__" else member


def test_the_kernel_is_the_one_that_the_release_has(host: Any) -> None:
    oldest = "bookworm" in host.file("/etc/os-release").content_string
    assert (kernel(host) == (6, 1)) == oldest
    assert kernel(host) >= (6, 1)


@pytest.mark.parametrize("name", FILES)
def test_the_program_is_loaded_attached_and_judges(checkout: str, vm: Tried, name: str) -> None:
    variables = f"PYTHONPATH={PLACE} TRIPOD_XDP_OBJECT={OBJECT} TRIPOD_FUZZ_FRAMES={FRAMES} TRIPOD_SWEEP_STRIDE=12"
    command = f"cd {checkout} && env {variables} python3 -m pytest -p no:cacheprovider -q tests/integration/{name}.py"
    _passes(vm, command, r"^(\d+) passed")


@pytest.mark.parametrize("package", PACKAGES)
def test_sockets_and_workers_do_their_work(
    checkout: str, vm: Tried, package: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # One directory for all: what Go has built for one package serves the next.
    built = go_backend.build(tmp_path_factory.getbasetemp(), f"./internal/{package}", tests=True)
    data = ROOT / "files/services/go-backend/internal" / package / "testdata"
    for one in (built, *([data] if data.exists() else [])):
        assert vm.copy(str(one), f":{checkout}/") == 0
    variables = f"TRIPOD_REQUIRE_BPF=1 TRIPOD_XDP_OBJECT={OBJECT}"
    _passes(vm, f"cd {checkout} && env {variables} ./{built.name} -test.v", r"^--- PASS")


def _passes(vm: Tried, command: str, mark: str) -> None:
    done = vm.ssh(["sh", "-c", command], capture=True, timeout=3600)
    shown = done.stdout[-6000:] + done.stderr[-2000:]
    assert done.returncode == 0, shown
    assert re.search(mark, done.stdout, re.MULTILINE), f"nothing was tried: {shown}"
