"""Run the README's commands as a newcomer does, on a Debian of which nothing but a minimal root is there.

``python3 -m tools.newcomer [--debian RELEASE] [--site] [--keep] [arguments for the test runner ...]``

The root is made from Debian's packages and entered in namespaces of its own: mounts, network, processes. So nothing
that runs inside outlives them, and nothing of this machine is in the way. The kernel is this machine's, and with it
huge pages, modules and the kernel's variables: what changes those must not run beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .console import Failure, duration, guarded, say, step
from .newcomer_init import GO, GRACE_SECONDS
from .paths import CACHE, LOGS, ROOT, VENV
from .run import apt_install, as_root, logged, require_space
from .vm.base import AUTHORITIES, locked, remove, sources

RELEASES = ("trixie", "bookworm")
# All that the README says has to be there.
PACKAGES = "ca-certificates,git,make,python3"
TOOLS = ["mmdebstrap", "slirp4netns"]
NETWORK_SECONDS = 30
PLACE = CACHE / "newcomer"
CHECKOUT = "root/tripod"
# /tmp is in memory from Debian 13 on.
TMP_IN_MEMORY = {"trixie": "yes", "bookworm": "no"}
# How this network's registries are reached, as far as the environment says it.
HANDED_ON = re.compile(
    r"(?:HTTPS?|FTP|ALL|NO)_PROXY|(?:PIP|NPM_CONFIG)_\w+|GO(?:PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE)"
    r"|SSL_CERT_(?:FILE|DIR)|\w+_CA_BUNDLE|NODE_EXTRA_CA_CERTS|TRIPOD_\w+_MIRROR|CI",
    re.IGNORECASE,
)
_APT = re.compile(r'^(Acquire::(?:https?::|Check-)\S+ ".+");$', re.MULTILINE)
_PIP = re.compile(r"^(?:global|user|site|install)\.([\w-]+)='(.*)'$", re.MULTILINE)
# A root that is only changed to would not do: containers change theirs once more.
_ENTER = """\
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
for place in kernel/security kernel/debug kernel/tracing fs/cgroup; do
    if mountpoint --quiet "/sys/$place"; then mount --rbind "/sys/$place" "sys/$place"; fi
done
mount -t bpf bpf sys/fs/bpf
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=0755 tmpfs run
if [ "$2" = yes ]; then mount -t tmpfs -o mode=1777 tmpfs tmp; fi
hostname newcomer
pivot_root . mnt
umount --lazy /mnt
cd "/$3"
shift 3
exec "$@"
"""


def newcomer(release: str, arguments: Iterable[str] = (), site: bool = False, keep: bool = False) -> int:
    """Make a root, run the README's commands in it, and remove it.

    Args:
        release: Of Debian, by its code name.
        arguments: For the test runner, e.g. groups.
        site: Make the site first, so that the tests find one that stands.
        keep: Keep the root; where one was kept, work on in it.

    Returns:
        The status of the first command that failed, 1 where something was left running, else 0.
    """
    place = PLACE / release
    root = place / "root"
    apt_install(TOOLS, "a newcomer's root")
    with locked(PLACE / f"{release}.lock"):
        try:
            if not (keep and root.exists()):
                remove(place)
                require_space(20 * 2**30, "a newcomer's root and what is built in it")
                place.mkdir(parents=True)
                _make(release, root)
            _clone(root / CHECKOUT)
            variables = settings(os.environ | _pip_settings(), root)
            commands = [["make", "site"], ["docker", "ps"]] if site else []
            commands.append(["make", "test", f"ARGS={' '.join(arguments)}"])
            return _enter(release, root, variables, commands, leaves=site)
        finally:
            _save_logs(root / CHECKOUT / ".cache" / "logs", LOGS / f"newcomer-{release}")
            if keep:
                say(f"    kept: {root}")
            else:
                with step("remove the root"):
                    remove(place)


def settings(environment: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return the variables for inside, and bring the files that they name into the root.

    A directory that is not there inside, such as one of wheels, is no newcomer's: its variable is left out.
    """
    handed_on = {}
    for name, value in environment.items():
        if not HANDED_ON.fullmatch(name):
            continue
        if value.startswith("/"):
            inside = root / value.lstrip("/")
            if Path(value).is_file() and not inside.exists():
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(value, inside)
            if not inside.exists():
                continue
        handed_on[name] = value
    return handed_on


def apt_settings(dump: str) -> list[str]:
    """Return the options that say how apt fetches, out of what ``apt-config dump`` prints."""
    return [option for option in _APT.findall(dump) if "Proxy-Auto-Detect" not in option]


def _pip_settings() -> dict[str, str]:
    """Return what pip's configuration files say, as variables."""
    python = VENV / "bin" / "python"
    words = [str(python if python.exists() else sys.executable), "-m", "pip", "config", "list"]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return {f"PIP_{key.upper().replace('-', '_')}": value for key, value in _PIP.findall(told)}


def _make(release: str, root: Path) -> None:
    with step(f"a minimal root of Debian {release}") as done:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        words = ["--mode=root", "--variant=minbase", f"--include={PACKAGES}"]
        words += [f"--aptopt={option}" for option in apt_settings(dump)]
        if AUTHORITIES.is_dir():
            words += [f"--customize-hook=copy-in {AUTHORITIES} {AUTHORITIES.parent}"]
            words += ['--customize-hook=chroot "$1" update-ca-certificates']
        logged("newcomer", ["mmdebstrap", *words, release, root, *sources(release)], lines=20)
        # The name server is the one of the network that is given to it.
        (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n", encoding="ascii")
        (root / "etc/hosts").write_text("127.0.0.1 localhost newcomer\n::1 localhost\n", encoding="ascii")
        done(f"with {PACKAGES.replace(',', ', ')}")


def _clone(checkout: Path) -> None:
    """Clone what is committed, or bring the clone that was kept to it."""
    # As the owner of the checkout, as git reads nobody else's; without configuration of root, which is closed to them.
    owner = ROOT.stat().st_uid
    own = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}

    def git(*words: str) -> bytes:
        return subprocess.run(
            ["git", "-C", ROOT, *words], check=True, stdout=subprocess.PIPE, user=owner, env=own
        ).stdout

    with step("a clone of the checkout") as done:
        commit = git("rev-parse", "HEAD").decode().strip()
        bundle = PLACE / f"{commit}.bundle"
        bundle.write_bytes(git("bundle", "create", "--quiet", "-", "HEAD"))
        try:
            if not checkout.exists():
                logged("newcomer", ["git", "clone", "--quiet", bundle, checkout], append=True)
            within: list[str | Path] = ["git", "-C", checkout]
            logged("newcomer", [*within, "fetch", "--quiet", bundle, "HEAD"], append=True)
            logged("newcomer", [*within, "checkout", "--quiet", "--force", "--detach", commit], append=True)
        finally:
            bundle.unlink()
        changed = len(git("status", "--porcelain").splitlines())
        done(commit[:12] + (f"; {changed} files with changes that are not committed are left out" if changed else ""))


def _enter(
    release: str, root: Path, variables: Mapping[str, str], commands: Iterable[Iterable[str]], leaves: bool
) -> int:
    """Run the commands inside, and return how that went; nothing of it runs afterwards."""
    environment = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM": "dumb",
        **variables,
    }
    kinds = ["--mount", "--net", "--pid", "--ipc", "--uts"]
    inside: list[str | Path] = [root, TMP_IN_MEMORY[release], CHECKOUT]
    inside += ["python3", "-m", "tools.newcomer_init", *(["--leaves"] if leaves else [])]
    for command in commands:
        inside += ["--", *command]
    started = time.monotonic()
    # Its standard input is what keeps it alive: were this process killed, that would end.
    process = subprocess.Popen(
        ["unshare", *kinds, "--propagation=private", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh", *inside],
        env=environment,  # and on no command line, as a proxy's address may hold a password
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        with _network(process):
            process.stdin.write(GO)
            process.stdin.flush()
            return process.wait()
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(GRACE_SECONDS + 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        say(
            f"    left after {duration(time.monotonic() - started)}: its processes, mounts and network are gone with it"
        )


@contextlib.contextmanager
def _network(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Give the namespace a network that reaches what this machine reaches, through an ordinary process."""
    own = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + NETWORK_SECONDS
    while process.poll() is None and os.readlink(f"/proc/{process.pid}/ns/net") == own:
        if time.monotonic() > deadline:
            raise Failure(f"no network namespace within {NETWORK_SECONDS} s: is 'unshare' allowed here?")
        time.sleep(0.05)
    if process.poll() is not None:
        raise Failure(f"the namespaces could not be entered (status {process.returncode}): its words are above")
    ready, tell_ready = os.pipe()
    held, hold = os.pipe()
    with (LOGS / "newcomer-network.log").open("wb") as log:
        words = ["slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", f"--ready-fd={tell_ready}"]
        slirp = subprocess.Popen(
            [*words, f"--exit-fd={held}", str(process.pid), "eth0"],
            pass_fds=(tell_ready, held),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(tell_ready)
    os.close(held)
    try:
        if os.read(ready, 1) != b"1":
            raise Failure("slirp4netns did not start: see .cache/logs/newcomer-network.log")
        yield
    finally:
        os.close(ready)
        os.close(hold)
        slirp.wait()


def _save_logs(inside: Path, outside: Path) -> None:
    if inside.is_dir():
        shutil.rmtree(outside, ignore_errors=True)
        shutil.copytree(inside, outside)
        say(f"    its logs are in {outside.relative_to(ROOT)}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.newcomer", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--debian", choices=RELEASES, default=RELEASES[0], help="the release (default: %(default)s)")
    parser.add_argument("--site", action="store_true", help="run 'make site' first, so that the tests find a site")
    parser.add_argument("--keep", action="store_true", help="keep the root, and work on in one that was kept")
    options, arguments = parser.parse_known_args()
    for directory in (LOGS, PLACE):  # by the checkout's owner, who has to be able to work on with them
        directory.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        kept = ",".join(name for name in os.environ if HANDED_ON.fullmatch(name))
        words = [*as_root(), f"--preserve-env={kept}", sys.executable, "-m", "tools.newcomer", *sys.argv[1:]]
        os.chdir(ROOT)
        os.execvp(words[0], words)
    # The default action would end this process without its cleaning up.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    return newcomer(options.debian, arguments, options.site, options.keep)


if __name__ == "__main__":
    guarded(main)
