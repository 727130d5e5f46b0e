"""The compiled object and a cable to try it on. These tests change the kernel of the machine, so they need root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.bpffs import Bpffs, PinRoot

from tests.integration import lab
from tests.integration.agent_site import Site
from tests.support.bpf_object import hollow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "the integration tests load BPF programs and make network namespaces: run them as root"


@pytest.fixture(scope="session", autouse=True)
def _bpffs(_root: None) -> Iterator[None]:
    """The BPF file system, which no service manager mounts on a machine without one; as it was found at the end.

    Two runs may share it. The last one unmounts it, where either has mounted it.
    """
    mount = "/sys/fs/bpf"
    desired, ours = PinRoot(mount, f"{mount}/tripod-tests-{os.getpid()}", 0), Path(mount, "tripod-tests-mounted")
    with _one_run_at_a_time():
        outcome = converge(Bpffs(desired), desired, Host())
        if any(change.path == (mount, "type") for change in outcome.changes):
            ours.mkdir()
    yield
    with _one_run_at_a_time():
        os.rmdir(desired.path)
        if ours.exists() and list(Path(mount).glob("tripod-tests-*")) == [ours]:
            subprocess.run(["umount", mount], check=True)


@contextmanager
def _one_run_at_a_time() -> Iterator[None]:
    with Path("/run/lock/tripod-tests").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def xdp_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object under test: TRIPOD_XDP_OBJECT, else built the way that the images role builds it."""
    given = os.environ.get("TRIPOD_XDP_OBJECT")
    if given:
        return Path(given)
    directory = tmp_path_factory.mktemp("bpf")
    base = os.environ.get("TRIPOD_BUILD_BASE", "debian:stable-slim")
    build = ["docker", "build", "--network", "host", "--build-arg", f"BUILD_BASE={base}", "-q", "files/bpf"]
    image = subprocess.run(build, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    create = ["docker", "create", image, "none"]
    container = subprocess.run(create, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        subprocess.run(["docker", "cp", f"{container}:/tripod_xdp.bpf.o", str(directory)], check=True)
    finally:
        subprocess.run(["docker", "rm", container], check=True, stdout=subprocess.DEVNULL)
    return directory / "tripod_xdp.bpf.o"


@pytest.fixture(scope="session")
def hollow_object(xdp_object: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same maps with programs that pass everything: without a policy's bounds the kernel takes no other."""
    path = tmp_path_factory.mktemp("hollow") / "tripod_xdp.bpf.o"
    path.write_bytes(hollow(xdp_object.read_bytes()))
    return path


@pytest.fixture(scope="session")
def newer_object(xdp_object: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same program in a file of another digest: a release that changed nothing in the maps."""
    path = tmp_path_factory.mktemp("newer") / "tripod_xdp.bpf.o"
    path.write_bytes(xdp_object.read_bytes() + b"\0")
    return path


@pytest.fixture(scope="session")
def smaller_object(xdp_object: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same program with a map of hits of another size, which is one number in the object's BTF."""
    content = xdp_object.read_bytes()
    # struct btf_type of an array (no name, kind 3, no size), its element and index types, its length.
    [place] = [
        place
        for place in range(0, len(content) - 24)
        if content[place : place + 12] == struct.pack("<III", 0, 3 << 24, 0)
        and content[place + 20 : place + 24] == struct.pack("<I", 4096)
    ]
    path = tmp_path_factory.mktemp("smaller") / "tripod_xdp.bpf.o"
    path.write_bytes(content[: place + 20] + struct.pack("<I", 2048) + content[place + 24 :])
    return path


@pytest.fixture(scope="session")
def kinds_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object with what ours has not: devmap, ring buffer, tail calls, a program that takes fragments."""
    path = tmp_path_factory.mktemp("kinds") / "kinds.bpf.o"
    source = REPOSITORY / "tests/integration/objects/kinds.bpf.c"
    subprocess.run(["clang", "-O2", "-g", "-target", "bpf", "-c", str(source), "-o", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds what an operator of his own has before and after ours; of a kind, and by further definitions."""
    source = REPOSITORY / "tests/integration/objects/theirs.bpf.c"
    made: dict[tuple[str, ...], Path] = {}

    def build(kind: str = "xdp", *definitions: str) -> Path:
        if (kind, *definitions) not in made:
            path = tmp_path_factory.mktemp("theirs") / "theirs.bpf.o"
            options = [f'-DKIND="{kind}"', *(f"-D{one}" for one in definitions)]
            command = ["clang", "-O2", "-g", "-target", "bpf", *options, "-c", str(source), "-o", str(path)]
            subprocess.run(command, check=True)
            made[kind, *definitions] = path
        return made[kind, *definitions]

    return build


@pytest.fixture
def cable() -> Iterator[lab.Cable]:
    """A veth pair; the test runs in the namespace of its near end."""
    with lab.cable() as laid:
        yield laid


@pytest.fixture
def pin_root() -> Iterator[Path]:
    """A place for pins, which must be empty again at the end."""
    root = Path(f"/sys/fs/bpf/tripod-test-{os.getpid()}")
    yield root
    left = []
    if root.exists():
        for directory, _directories, files in os.walk(root, topdown=False):
            for file in files:
                left.append(os.path.join(directory, file))
                os.unlink(left[-1])
            os.rmdir(directory)
    # A namespace that ends takes its interface and thereby the link's effect, not the pins.
    assert not [path for path in left if path.endswith("~")], "half a replacement was left"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A machine for the agent."""
    made = Site(tmp_path)
    try:
        yield made
    finally:
        made.close()
