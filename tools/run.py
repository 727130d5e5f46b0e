"""Child processes: logged, with the right to become root asked for once, and failures put into words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .console import Failure, say
from .paths import CACHE, LOGS, ROOT, environment

# Part of a tool's output -> what it means and the way out. The first that matches is shown.
_MEANINGS = (
    (("No space left on device",), "the disk is full: free some space there and run the command again"),
    (
        ("Temporary failure in name resolution", "NewConnectionError", "Network is unreachable", "Connection refused"),
        "the package index cannot be reached: check the network, or set PIP_INDEX_URL to a mirror, then run again",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "a proxy re-signs TLS: point PIP_CERT (and SSL_CERT_FILE) at its CA bundle, then run again",
    ),
    (
        ("No matching distribution found",),
        "the package index answers but lacks a pinned version: check PIP_INDEX_URL or the mirror's age",
    ),
    (("Could not get lock", "Unable to acquire the dpkg"), "another apt is running: wait for it, then run again"),
    (("Permission denied", "a password is required"), "a permission is missing: run as root, or as a user with sudo"),
)


def logged(name: str, command: Sequence[str | Path], cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command with its output in a log file, and return the output.

    Args:
        name: The log's name, for ``.cache/logs/<name>.log``.
        command: Program and arguments; never a shell line.
        cwd: Where it runs.
        env: Its environment; the tools' own if not given.

    Raises:
        Failure: It could not start or ended with another status than 0.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    try:
        with log.open("wb") as sink:
            status = subprocess.run(
                [str(word) for word in command],
                cwd=cwd,
                env=env if env is not None else environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
    except OSError as error:
        raise Failure(f"cannot run {command[0]}: {error.strerror}") from error
    output = log.read_text(encoding="utf-8", errors="replace")
    if status:
        raise Failure(f"{name}: {Path(str(command[0])).name} ended with status {status}: {meaning(output, log)}")
    return output


def meaning(output: str, log: Path) -> str:
    """Return what an output says went wrong: known causes in words, else its last lines and the log's place."""
    place = f"the whole output is in {log.relative_to(ROOT)}"
    for marks, words in _MEANINGS:
        if any(mark in output for mark in marks):
            return f"{words} ({place})"
    tail = "\n".join("    " + line for line in output.strip().splitlines()[-12:])
    return f"{place}, its end is:\n{tail}"


def as_root() -> list[str]:
    """Return the words before a command that needs root: none for root, else sudo.

    Raises:
        Failure: Not root, and sudo is missing.
    """
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise Failure("this needs root, and sudo is not installed: run it as root, or install sudo first")
    return ["sudo"]


def sudo_needs_password() -> bool:
    """Whether becoming root would ask for a password."""
    return bool(as_root()) and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode != 0


def apt_install(packages: Sequence[str], why: str) -> None:
    """Install Debian packages that are missing, saying so; do nothing where all are there.

    Raises:
        Failure: This is no Debian-like system, or apt failed.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if not missing:
        return
    names = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise Failure(f"{why} needs {names}, and there is no apt-get here: install their like by hand, then run again")
    say(f"    installing by apt-get, for {why}: {names}")
    if sudo_needs_password():
        if not sys.stdin.isatty():
            raise Failure(f"sudo asks for a password and there is no terminal: run as root: apt-get install {names}")
        subprocess.run(["sudo", "--validate"], check=False)
    apt = [*as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    logged("apt-update", [*apt, "update"])
    logged("apt-install", [*apt, "install", "--yes", "--no-install-recommends", *missing])


def _is_installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"
    except FileNotFoundError:
        return False


def require_space(bytes_needed: int, why: str) -> None:
    """Fail where the checkout's file system has less room than a step needs."""
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if free < bytes_needed:
        raise Failure(
            f"{why} needs {bytes_needed / 2**30:.1f} GiB below {ROOT}, {free / 2**30:.1f} GiB are free: "
            "free some space, or clone to a larger file system"
        )
