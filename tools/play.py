"""Run one of the collection's playbooks from the checkout.

``python3 -m tools.play PLAYBOOK [arguments for ansible-playbook]``
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence

from .bootstrap import bootstrap
from .console import Failure, guarded
from .paths import ROOT, VENV, environment
from .run import apt_install, sudo_needs_password

# What ansible-playbook says of a vault it cannot open -> the way out.
_VAULT_MESSAGES = {
    "no vault secrets were found": "a value is encrypted and no vault password was given: "
    "add ARGS=--ask-vault-password, or ARGS='--vault-password-file FILE'",
    "Decryption failed": "the vault password does not open what is encrypted: give the one it was encrypted with, "
    "by ARGS=--ask-vault-password or ARGS='--vault-password-file FILE'",
    "no vault secrets found": "a value is encrypted and no vault password was given: "
    "add ARGS=--ask-vault-password, or ARGS='--vault-password-file FILE'",
}
_ASKING = {"-K", "--ask-become-pass", "--become-password-file", "--become-pass-file"}


def play(playbook: str, arguments: Sequence[str]) -> int:
    """Run a playbook with its output on the terminal, and return ansible-playbook's status.

    Args:
        playbook: Its path below the checkout.
        arguments: Passed on as they are.

    Raises:
        Failure: sudo asks for a password and nobody is there to type it.
    """
    command = [str(VENV / "bin" / "ansible-playbook"), playbook, *_become(arguments), *arguments]
    child = environment()
    if sys.stdout.isatty():
        child.setdefault("ANSIBLE_FORCE_COLOR", "1")
    hints = []
    # Password prompts go to the terminal itself, so the output can be read on its way.
    with subprocess.Popen(
        command, cwd=ROOT, env=child, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            hints += [hint for mark, hint in _VAULT_MESSAGES.items() if mark in line and hint not in hints]
        status = process.wait()
    if status and hints:
        raise Failure(hints[0])
    return status


def _become(arguments: Sequence[str]) -> list[str]:
    asked = any(word.split("=")[0] in _ASKING for word in arguments)
    if asked or "--syntax-check" in arguments or not sudo_needs_password():
        return []
    if not sys.stdin.isatty():
        raise Failure("sudo asks for a password and there is no terminal: run as root, or give --become-password-file")
    return ["--ask-become-pass"]


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) < 2:
        raise Failure("usage: python3 -m tools.play PLAYBOOK [arguments for ansible-playbook]")
    bootstrap()
    if shutil.which("apt-get"):
        # Ansible's apt module brings it along by itself, but not in check mode, which must change nothing.
        apt_install(["python3-apt"], "check mode")
    return play(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    guarded(main)
