"""One VM: its files, its process, its power and its shell."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..console import Failure, duration, say
from ..paths import LOGS, ROOT
from ..run import as_root
from . import base, hardware, qmp, snapshots

FIRST_PORT = 2220
# A boot takes half a minute in emulation on an idle machine with two CPUs, and three times that on a busy one.
BOOT_SECONDS = float(os.environ.get("TRIPOD_VM_BOOT_SECONDS", "180"))
QUIET_SECONDS = 20
STOP_SECONDS = 120
CONNECT_SECONDS = 20
_LAUNCHER = Path(__file__).with_name("launch.py")


class Machine:
    """A VM by its name.

    Args:
        name: Names its directory below ``.cache/vm`` and, with a mark of this checkout, its network namespace.
    """

    def __init__(self, name: str) -> None:
        if not name.replace("-", "").isalnum() or name == "base" or len(name) > 32:
            raise Failure(f"{name!r} cannot name a VM: take up to 32 letters, digits and hyphens, and not 'base'")
        self.name = name
        self.directory = base.VMS / name
        # Another checkout on this machine may have a VM of the same name.
        self.namespace = f"tripod-vm-{name}-{hashlib.sha256(bytes(ROOT)).hexdigest()[:6]}"
        self.serial = self.directory / "serial.log"
        self.inventory = self.directory / "inventory.yml"

    @property
    def exists(self) -> bool:
        """Whether it was created."""
        return (self.directory / "vm.json").exists()

    @property
    def port(self) -> int:
        """Its SSH on the host's loopback."""
        if not self.exists:
            raise Failure(f"there is no VM {self.name}: make it by 'python3 -m tools.vm create {self.name}'")
        return int(json.loads((self.directory / "vm.json").read_text(encoding="utf-8"))["port"])

    @property
    def process(self) -> int | None:
        """QEMU's process id while it runs."""
        try:
            number = int((self.directory / "qemu.pid").read_text(encoding="ascii"))
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        # The number may be somebody else's by now.
        return number if str(self.directory / "qemu.pid").encode() in words else None

    def create(self, port: int | None = None, suite: str = base.SUITE) -> int:
        """Make the VM's files from the base and start it; return how many boots hung.

        Args:
            port: For SSH; a free one if not given.
            suite: What it is, one of ``base.SUITES``.

        Raises:
            Failure: It is there already, or does not start.
        """
        if self.exists:
            raise Failure(f"the VM {self.name} is there already: start it, or destroy it first")
        with base.locked(base.VMS / "create.lock"):
            self.directory.mkdir(parents=True, exist_ok=True)
            source = base.guest(suite)
            self._copy(source)
            self._describe(port or _free_port(), (source / "host_key.pub").read_text(encoding="ascii"))
            base.hand_over(self.directory)
        return self.start()

    def _copy(self, source: Path) -> None:
        for name in (hardware.DISK, "boot.iso", "key"):
            copy = [
                "cp",
                "--sparse=always",
                "--reflink=auto",
                "--preserve=mode",
                str(source / name),
                str(self.directory),
            ]
            subprocess.run(copy, check=True)

    def _describe(self, port: int, host_key: str) -> None:
        kind, key = host_key.split()[:2]
        self._write("known_hosts", f"[127.0.0.1]:{port} {kind} {key}\n")
        self._write("inventory.yml", inventory(self.name, self.directory, port))
        self._write("vm.json", json.dumps({"port": port}) + "\n")

    def _write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text, encoding="utf-8")

    def start(self, seconds: float = BOOT_SECONDS) -> int:
        """Switch it on, wait for SSH, and return how many boots hung.

        A boot that hangs is tried once more, its serial log kept aside.

        Raises:
            Failure: It runs already, or two boots did not reach SSH in time.
        """
        if self.process:
            raise Failure(f"the VM {self.name} runs already")
        _require_memory()
        begin = time.monotonic()
        hung = 0
        self._launch(kvm=os.environ.get("TRIPOD_VM_KVM") == "1")
        try:
            self.wait(seconds)
        except Failure as failure:
            self.kill()
            say(f"    {failure}, now {self._put_log_aside('hung')}; once more")
            hung, begin = 1, time.monotonic()
            # The hang may be KVM's: some hosts offer it and cannot boot a guest with it.
            self._launch(kvm=False)
            self.wait(seconds)
        say(f"    {self.name} answers on port {self.port} after {duration(time.monotonic() - begin)}")
        return hung

    def _put_log_aside(self, mark: str) -> Path:
        LOGS.mkdir(parents=True, exist_ok=True)
        aside = LOGS / f"vm-{self.name}-{mark}.log"
        self.serial.replace(aside)
        return aside

    def _launch(self, kvm: bool) -> None:
        port, qemu = self.port, base.qemu()
        self._forget_boot()
        snapshots.provide_disk(self.directory)
        owner = ROOT.stat()
        marks = {nic.name: [f"@{nic.name}.{queue}@" for queue in range(nic.queues)] for nic in hardware.NICS}
        order = {
            "namespace": self.namespace,
            "taps": {nic.name: asdict(nic) for nic in hardware.NICS},
            "uid": owner.st_uid,
            "gid": owner.st_gid,
            "directory": str(self.directory),
            "environment": qemu.environment,
            "command": hardware.command(qemu.command, self.directory, port, marks, kvm),
        }
        launcher = [*as_root(), sys.executable, str(_LAUNCHER)]
        started = subprocess.run(launcher, input=json.dumps(order), text=True, capture_output=True, check=False)
        if started.returncode:
            raise Failure(f"QEMU does not start for {self.name}: {started.stderr.strip()}")

    def snapshot(self, tag: str) -> None:
        """Keep its memory, its devices and its disk under a tag, instead of what the tag had before.

        Raises:
            Failure: It is off, or QEMU cannot save it.
        """
        if not self.process:
            raise Failure(f"the VM {self.name} is off, and has no memory to keep: start it first")
        snapshots.save(self.directory, tag)

    def restore(self, tag: str) -> float:
        """Put it back to where it was at a snapshot, switched on; return how long that took in seconds.

        Its connections end, and its clock is set to the host's.

        Raises:
            Failure: There is no such snapshot, or QEMU cannot load it, or SSH does not answer.
        """
        begin = time.monotonic()
        was_off = not self.process
        if was_off:
            # What begins to boot is replaced at once.
            self._launch(kvm=os.environ.get("TRIPOD_VM_KVM") == "1")
        try:
            snapshots.load(self.directory, tag)
        except Failure:
            if was_off:
                self.kill()
            raise
        self.wait()
        self.ssh(["date", "--set", f"@{time.time():.0f}"], capture=True, timeout=CONNECT_SECONDS + 10)
        return time.monotonic() - begin

    def wait(self, seconds: float = BOOT_SECONDS, new: bool = False) -> float:
        """Wait until SSH answers, and return how long that took.

        Args:
            seconds: For how long at most; three times that while the console speaks, as it does on a busy machine.
            new: Wait for another boot than the one that answered the last wait.

        Raises:
            Failure: QEMU ended, or no SSH in time.
        """
        begin = time.monotonic()
        last = self._last_boot() if new else None
        while True:
            found = self.boot_id()
            if found and found != last:
                self._write("boot_id", found)
                return time.monotonic() - begin
            if not self.process:
                raise Failure(f"{self.name}: QEMU has ended; its serial log is {self.serial}")
            taken = time.monotonic() - begin
            if taken > seconds and (taken > 3 * seconds or not self._console_speaks()):
                boot = "no new boot" if found else "no boot"
                raise Failure(f"{self.name}: {boot} reached SSH within {taken:.0f} s; its serial log is {self.serial}")
            time.sleep(1)

    def _console_speaks(self) -> bool:
        # A kernel that hangs says so about once a minute, if at all.
        return time.time() - self.serial.stat().st_mtime < QUIET_SECONDS

    def boot_id(self) -> str | None:
        """Return the running boot's id, or None where SSH does not answer."""
        asked = self.ssh(["cat", "/proc/sys/kernel/random/boot_id"], capture=True, timeout=CONNECT_SECONDS + 10)
        return asked.stdout.strip() if asked.returncode == 0 else None

    def _last_boot(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "boot_id").read_text(encoding="utf-8")
        return None

    def _forget_boot(self) -> None:
        (self.directory / "boot_id").unlink(missing_ok=True)

    def stop(self) -> None:
        """Press the power button and wait for the shutdown.

        Raises:
            Failure: It still runs two minutes later.
        """
        if not self.process:
            return
        qmp.execute(self.directory, "system_powerdown")
        self._ended("the power button", STOP_SECONDS)

    def kill(self) -> None:
        """Cut the power."""
        if number := self.process:
            # It may end by itself right now.
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
            self._ended("SIGKILL", 20)

    def _ended(self, what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.process:
            if time.monotonic() > end:
                raise Failure(f"{self.name} still runs {seconds:.0f} s after {what}: see {self.serial}, or kill it")
            time.sleep(0.2)

    def reset(self) -> float:
        """Press the reset button, wait for the new boot, and return how long that took in seconds."""
        self._remember_boot()
        qmp.execute(self.directory, "system_reset")
        return self.wait(new=True)

    def reboot(self) -> float:
        """Let it reboot by itself, wait for the new boot, and return how long that took in seconds."""
        self._remember_boot()
        self.ssh(["systemctl", "reboot"], capture=True, timeout=CONNECT_SECONDS + 10)
        return self.wait(new=True)

    def _remember_boot(self) -> None:
        # It may have rebooted since it was last waited for.
        if found := self.boot_id():
            self._write("boot_id", found)

    def link(self, nic: str, up: bool) -> None:
        """Plug a data NIC's cable in or out, as the guest sees it."""
        if nic not in {known.name for known in hardware.NICS}:
            raise Failure(f"no NIC {nic}: there are {', '.join(known.name for known in hardware.NICS)}")
        qmp.execute(self.directory, "set_link", name=f"{nic}-nic", up=up)

    def ssh_words(self, program: str = "ssh") -> list[str]:
        """Return the words that start ssh, scp or sftp for this VM, without the destination."""
        options = {
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.directory / "known_hosts",
            "ConnectTimeout": CONNECT_SECONDS,
            "ServerAliveInterval": 10,
            "ServerAliveCountMax": 6,
            "LogLevel": "ERROR",
        }
        port = "-p" if program == "ssh" else "-P"
        words = [program, "-F", "none", "-i", str(self.directory / "key"), port, str(self.port)]
        return [*words, *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]

    def ssh(
        self, words: Sequence[str], capture: bool = False, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest as root, or a shell where there are no words.

        Args:
            words: Program and arguments; quoted for the guest's shell.
            capture: Return the output rather than let it through.
            timeout: In seconds; the status is then 124, as timeout(1) has it.
        """
        command = [*self.ssh_words(), "root@127.0.0.1", *([shlex.join(words)] if words else [])]
        source = subprocess.DEVNULL if capture else None
        try:
            return subprocess.run(
                command, text=True, capture_output=capture, timeout=timeout, stdin=source, check=False
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no end within {timeout} s")

    def copy(self, source: str, target: str) -> int:
        """Copy files, the guest's path marked by a colon before it, and return scp's status."""
        places = [f"root@127.0.0.1{place}" if place.startswith(":") else place for place in (source, target)]
        return subprocess.run([*self.ssh_words("scp"), "-q", "-r", *places], check=False).returncode

    def destroy(self) -> None:
        """Remove its process, its network namespace and its files; the console's log moves to the other logs."""
        self.kill()
        if self.serial.exists():
            self._put_log_aside("console")
        if Path(f"/run/netns/{self.namespace}").exists():
            subprocess.run([*as_root(), "ip", "netns", "delete", self.namespace], check=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)


def inventory(name: str, directory: Path, port: int) -> str:
    """Return an Ansible inventory of one VM, as JSON, which is YAML too."""
    options = {"UserKnownHostsFile": directory / "known_hosts", "ServerAliveInterval": 10, "ServerAliveCountMax": 6}
    common = " ".join(f"-o {option}={shlex.quote(str(value))}" for option, value in options.items())
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": base.USER,
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(directory / "key"),
        "ansible_ssh_common_args": common,
        # A login takes seconds in emulation.
        "ansible_ssh_timeout": CONNECT_SECONDS,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return json.dumps({"tripod": {"hosts": {name: host}}}, indent=2) + "\n"


def _require_memory() -> None:
    need = hardware.SOCKETS * hardware.MEMORY_GIB_PER_NODE
    [available] = re.findall(
        r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE
    )
    if int(available) < need * 2**20:
        raise Failure(
            f"a VM needs {need} GiB of memory, {int(available) / 2**20:.1f} GiB are available: stop something"
        )


def machines() -> list[Machine]:
    """Return every VM of this checkout."""
    return [Machine(path.parent.name) for path in sorted(base.VMS.glob("*/vm.json"))]


def _free_port() -> int:
    taken = {machine.port for machine in machines()}
    return next(port for port in range(FIRST_PORT, 65536) if port not in taken and _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def soak(count: int) -> tuple[list[float], int]:
    """Create and destroy VMs one after another; return each one's seconds to SSH, and how many boots hung."""
    taken, hung = [], 0
    for number in range(1, count + 1):
        machine = Machine(f"soak-{number}")
        begin = time.monotonic()
        try:
            hung += machine.create()
            taken.append(time.monotonic() - begin)
        finally:
            machine.destroy()
    return taken, hung
