"""What every VM is copied from: QEMU, the guest's disk, a boot loader and a key.

Made once, and again when its recipe changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..console import Failure, step
from ..paths import CACHE, ROOT
from ..run import apt_install, as_root, logged, require_space

VMS = CACHE / "vm"
GUEST = Path(__file__).parent / "guest"
DEBIAN, SECURITY = "Debian", "Debian-Security"  # archives, by the label of their Release files
SUITE = "trixie"
_BACKPORTS = "-backports"
# What a guest may be: the release that hosts have; the one with the oldest kernel that is supported (6.1); the newest
# kernel that Debian has for a release.
SUITES = (SUITE, "bookworm", f"{SUITE}{_BACKPORTS}")
DISK = "10G"
USER = "admin"
LABEL = "ROOT"
# Authorities that the host's administrator trusts: where a proxy re-signs TLS, the guest is behind it too.
AUTHORITIES = Path("/usr/local/share/ca-certificates")
TOOLS = [
    "e2fsprogs",
    "grub-common",
    "grub-pc-bin",
    "iproute2",
    "mmdebstrap",
    "mtools",
    "openssh-client",
    "qemu-utils",
    "xorriso",
]
_KERNEL = "linux-image-amd64"
# As bare as a server's installer leaves it: what the roles need, they install.
PACKAGES = (
    f"bpftool,ca-certificates,dbus,ethtool,grub-pc-bin,grub2-common,initramfs-tools,iproute2,kmod,{_KERNEL},"
    "openssh-server,procps,python3,python3-apt,sudo,systemd-sysv,udev"
)
# igb came with 8. Debian 13's own 10.0 loses timer interrupts under multi-threaded TCG, and 5 of 13 boots hung.
GOOD_QEMU = (11, 1)
QEMU_SUITE = f"{SUITE}{_BACKPORTS}"
# Of an unpacked root.
LOADER, LIBRARIES = "usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"
_BOOT = f"""\
serial --unit=0
terminal_input serial
terminal_output serial
search --set=root --label {LABEL}
configfile /boot/grub/grub.cfg
"""
# grub-probe wants to see devices; in a mount namespace of its own, nothing stays mounted below a tree to be removed.
_GRUB = f"""\
mount --rbind /dev "$0/dev"
mount --rbind /proc "$0/proc"
mkdir --parents "$0/boot/grub"
exec chroot "$0" env GRUB_DEVICE=LABEL={LABEL} grub-mkconfig --output=/boot/grub/grub.cfg
"""


@dataclass(frozen=True)
class Qemu:
    """How to start QEMU.

    Attributes:
        command: Program and first arguments.
        environment: Added to the process's own.
    """

    command: tuple[str, ...]
    environment: dict[str, str]


def guest(suite: str = SUITE) -> Path:
    """Return the directory of ``disk.img``, ``boot.iso``, ``key`` and ``host_key.pub``, made now if there is none.

    A VM copies what it needs, so that the next recipe's may replace them.

    Args:
        suite: One of ``SUITES``.

    Raises:
        Failure: Not on x86-64, or a step of the making failed.
    """
    if os.uname().machine != "x86_64":
        raise Failure(f"the VM is an x86-64 machine with a PC's boot loader; this host is {os.uname().machine}")
    apt_install(TOOLS, "the VM")
    with locked(VMS / "base.lock"):
        return _made(f"{suite}-guest", _guest_recipe(suite), partial(_make_guest, suite))


def qemu() -> Qemu:
    """Return the system's QEMU where it is good enough, else one unpacked from backports and run in place."""
    system = shutil.which("qemu-system-x86_64")
    if system:
        told = subprocess.run([system, "-version"], capture_output=True, text=True, check=False).stdout
        if qemu_version(told) >= GOOD_QEMU:
            return Qemu((system,), {})
    root = unpacked("qemu", QEMU_SUITE, "qemu-system-x86,seabios", least=f"{GOOD_QEMU}")
    firmware = ("-L", str(root / "usr/share/seabios"), "-L", str(root / "usr/share/qemu"))
    modules = {"QEMU_MODULE_DIR": str(root / LIBRARIES / "qemu")}
    return Qemu((*run_in_place(root, "usr/bin/qemu-system-x86_64"), *firmware), modules)


def unpacked(name: str, suite: str, packages: str, least: str = "") -> Path:
    """Return a root with packages of a Debian, and all that they need, unpacked and not installed.

    Args:
        name: What they are here; the directory's.
        suite: One of ``SUITES``.
        packages: Separated by commas.
        least: The version that is good enough; what was unpacked for another is unpacked anew.
    """
    apt_install(["mmdebstrap"], f"{name} of Debian {suite}")
    # A lock for each: a VM starts while the base of another is made.
    with locked(VMS / f"{name}.lock"):
        make = partial(_unpack, name, suite, packages)
        return _made(name, f"{mirror(DEBIAN)} {suite} {packages} {least}", make) / "root"


def run_in_place(root: Path, program: str) -> tuple[str, ...]:
    """Return the words that start a program of an unpacked root.

    Its own loader finds its own libraries: no chroot, and so no mounts that could be forgotten.
    """
    return (str(root / LOADER), "--library-path", str(root / LIBRARIES), str(root / program))


def mirror(archive: str) -> str:
    """Return where this host's apt fetches an archive from, so that the guest asks no other.

    Args:
        archive: By its label.

    Raises:
        Failure: apt knows none, as on another distribution.
    """
    variable = f"TRIPOD_{archive.upper().replace('-', '_')}_MIRROR"
    if given := os.environ.get(variable):
        return given
    words = ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    lines = (line.partition("|") for line in reversed(told.splitlines()))
    known = {label: uri for label, _bar, uri in lines if label}  # the first of each
    if archive in known:
        return known[archive].rstrip("/")
    if not known:
        raise Failure(f"apt has fetched no package lists yet: run 'apt-get update', or name a mirror in {variable}")
    raise Failure(
        f"apt has package lists of {', '.join(sorted(known))}, and none of {archive}: add that archive to the host's "
        f"package sources and run 'apt-get update', or name a mirror of it in {variable}"
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time work on what the file stands for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        if os.geteuid() == 0:
            owner = ROOT.stat()
            for made in (path.parent, path):
                os.chown(made, owner.st_uid, owner.st_gid)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """Return the directory ``base/NAME-DIGEST``, filled by ``make`` where it is missing; older ones go."""
    base = VMS / "base"
    target = base / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if target.is_dir():
        return target
    require_space(6 * 2**30, "a VM's base")
    base.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=base, prefix=f".{name}-"))
    try:
        scratch.chmod(0o755)
        make(scratch)
        for older in base.glob(f"{name}-*"):
            remove(older)
        scratch.rename(target)
        hand_over(base)
    finally:
        remove(scratch)
    return target


def hand_over(path: Path) -> None:
    """Give a tree of which root made parts to the owner of the checkout, who has to be able to work on with it."""
    owner = ROOT.stat()
    if owner.st_uid != 0:
        subprocess.run([*as_root(), "chown", "--recursive", f"{owner.st_uid}:{owner.st_gid}", str(path)], check=True)


def remove(directory: Path) -> None:
    """Remove a tree that may be root's, and nothing that is mounted in it."""
    if directory.exists():
        subprocess.run([*as_root(), "rm", "--recursive", "--force", "--one-file-system", str(directory)], check=True)


def qemu_version(text: str) -> tuple[int, ...]:
    """Return the version that ``qemu-system-x86_64 -version`` tells, or nothing."""
    found = re.search(r"version (\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def _unpack(name: str, suite: str, packages: str, scratch: Path) -> None:
    with step(f"{name} from {suite}"):
        words = ["--mode=root", "--variant=extract", f"--include={packages}"]
        words.append(f'--aptopt=APT::Default-Release "{suite}"')
        release = _release(suite)
        both = [f"deb {mirror(DEBIAN)} {one} main" for one in dict.fromkeys((release, suite))]
        logged(f"vm-{name}", [*as_root(), "mmdebstrap", *words, release, scratch / "root", *both], lines=20)


def _guest_recipe(suite: str) -> str:
    """Return all that decides what the guest is, but for the key and the packages' versions."""
    content = hashlib.sha256(guest_archive("")).hexdigest()
    return "\n".join([content, suite, LABEL, DISK, _BOOT, *_guest_words(suite, Path()), *sources(suite)])


def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file())


def _make_guest(suite: str, scratch: Path) -> None:
    with step(f"the VM's guest, from packages of Debian {suite}"):
        key = scratch / "key"
        logged("vm-guest", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tripod-vm", "-f", key])
        (scratch / "guest.tar").write_bytes(guest_archive(key.with_suffix(".pub").read_text(encoding="ascii")))
        root = scratch / "root"
        logged(
            "vm-guest",
            [*as_root(), "mmdebstrap", *_guest_words(suite, scratch), _release(suite), root, *sources(suite)],
            lines=30,
        )
        # mmdebstrap leaves "uninitialized", which would make systemd ask its first-boot questions on the console.
        logged("vm-guest", [*as_root(), "truncate", "--size=0", root / "etc/machine-id"], append=True)
        shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", scratch / "host_key.pub")
        disk = scratch / "disk.img"
        mke2fs: list[str | Path] = ["mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-d", root, disk, DISK]
        logged("vm-guest", [*as_root(), *mke2fs], append=True)
        remove(root)
        configuration = scratch / "iso/boot/grub/grub.cfg"
        configuration.parent.mkdir(parents=True)
        configuration.write_text(_BOOT, encoding="ascii")
        mkrescue: list[str | Path] = ["grub-mkrescue", "-o", scratch / "boot.iso", scratch / "iso"]
        logged("vm-guest", mkrescue, append=True)


def _release(suite: str) -> str:
    return suite.removesuffix(_BACKPORTS)


def sources(suite: str) -> list[str]:
    """Return the package sources of one of ``SUITES``, at the mirrors that this host uses."""
    release = _release(suite)
    suites = [(DEBIAN, release), (DEBIAN, f"{release}-updates"), (SECURITY, f"{release}-security")]
    if suite != release:
        suites.append((DEBIAN, suite))
    return [f"deb {mirror(label)} {one} main" for label, one in suites]


def _guest_words(suite: str, scratch: Path) -> list[str]:
    inside = 'chroot "$1"'
    # Timers that would load the CPUs, or hold dpkg's lock, at a time of their own.
    timers = "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer"
    hooks = [
        f"tar-in {scratch / 'guest.tar'} /",
        f"{inside} update-ca-certificates",
        f"{inside} useradd --create-home --shell /bin/bash --groups sudo {USER}",
        f"{inside} systemctl enable systemd-networkd.service",
        f"{inside} systemctl mask {timers}",
        f"unshare --mount sh -ec '{_GRUB}' \"$1\"",
    ]
    packages = PACKAGES if suite == _release(suite) else PACKAGES.replace(_KERNEL, f"{_KERNEL}/{suite}")
    return ["--mode=root", "--variant=apt", f"--include={packages}", *(f"--customize-hook={hook}" for hook in hooks)]


def guest_archive(public_key: str) -> bytes:
    """Return a tar archive, all of root's, of the files of ``guest/``, the host's authorities and the key for SSH."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(name: str, content: bytes, mode: int) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))

        for path in _files(GUEST):
            name = str(path.relative_to(GUEST))
            add(name, path.read_bytes(), 0o440 if "sudoers" in name else 0o644)
        for path in _files(AUTHORITIES):
            add(str(path.relative_to("/")), path.read_bytes(), 0o644)
        # One file for root and the ordinary user.
        add("etc/ssh/authorized_keys", public_key.encode(), 0o644)
    return buffer.getvalue()
