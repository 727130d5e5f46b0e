"""``python3 -m tools.vm COMMAND NAME``: bare-metal hosts in software."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from ..console import Failure, duration, guarded, say, step
from . import base, hardware, machine


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tools.vm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("name", help="the VM's name")
        return added

    create = command("create", "Make a VM and start it")
    create.add_argument("--port", type=int, help="for SSH on the loopback; a free one if not given")
    create.add_argument("--debian", choices=base.SUITES, default=base.SUITE, help="bookworm has Linux 6.1")
    create.add_argument("--if-missing", action="store_true", help="a VM that is there already is well, and is started")
    command("start", "Switch it on and wait for SSH")
    command("stop", "Press its power button and wait for the shutdown")
    command("kill", "Cut its power")
    command("reset", "Press its reset button, and wait for the new boot")
    command("reboot", "Let it reboot by itself, and wait for the new boot")
    wait = command("wait", "Wait until SSH answers")
    wait.add_argument("--new", action="store_true", help="not before another boot than the last that was waited for")
    wait.add_argument("--seconds", type=float, default=machine.BOOT_SECONDS)
    ssh = command("ssh", "Run a command in the guest as root, or a shell")
    ssh.add_argument("words", nargs="*", metavar="word", help="after --")
    copy = command("copy", "Copy files by scp")
    copy.add_argument("source", help="a path; one in the guest starts with a colon")
    copy.add_argument("target", help="likewise")
    for name, text in (
        ("snapshot", "Keep it as it is, memory and disk, under a tag"),
        ("restore", "Put it back to a snapshot, switched on"),
    ):
        command(name, text).add_argument("tag")
    link = command("link", "Plug a data NIC's cable in or out")
    link.add_argument("nic", choices=[nic.name for nic in hardware.NICS])
    link.add_argument("state", choices=["up", "down"])
    command("inventory", "Print the path of its Ansible inventory")
    command("serial", "Print the path of its serial console's log")
    command("destroy", "Remove its process, its network namespace and its files")
    commands.add_parser("status", help="List the VMs of this checkout")
    making = commands.add_parser("base", help="Make what VMs are copied from, if its recipe is new")
    making.add_argument("--debian", choices=base.SUITES, default=base.SUITE)
    soaking = commands.add_parser("soak", help="Create and destroy VMs one after another, and time it")
    soaking.add_argument("count", type=int)
    return parser.parse_args()


def _status() -> None:
    for one in machine.machines():
        number = one.process
        state = f"runs as process {number}" if number else "is off"
        say(f"{one.name}: {state}, SSH on port {one.port}, far ends in network namespace {one.namespace}")


def _soak(count: int) -> None:
    base.guest()
    taken, hung = machine.soak(count)
    middle, longest = duration(statistics.median(taken)), duration(max(taken))
    say(f"{len(taken)} creations reached SSH: median {middle}, longest {longest}; {hung} boots hung")


def main() -> int:
    """Run from the command line."""
    options = _arguments()
    if options.command == "status":
        _status()
        return 0
    if options.command == "base":
        say(str(base.guest(options.debian)))
        return 0
    if options.command == "soak":
        _soak(options.count)
        return 0
    return _act(machine.Machine(options.name), options)


def _act(vm: machine.Machine, options: argparse.Namespace) -> int:
    if options.command == "ssh":
        return vm.ssh(options.words).returncode
    if options.command == "copy":
        return vm.copy(options.source, options.target)
    if options.command in ("inventory", "serial"):
        if not vm.exists:
            raise Failure(f"there is no VM {vm.name}: make it by 'python3 -m tools.vm create {vm.name}'")
        say(str(getattr(vm, options.command)))
        return 0
    with step(f"{options.command} {vm.name}") as done:
        _power(vm, options, done)
    return 0


def _power(vm: machine.Machine, options: argparse.Namespace, done: Callable[[str], None]) -> None:
    if options.command == "create":
        if not (options.if_missing and vm.exists):
            vm.create(options.port, options.debian)
        elif not vm.process:
            vm.start()
    elif options.command == "wait":
        done(f"SSH answers after {duration(vm.wait(options.seconds, options.new))}")
    elif options.command in ("reset", "reboot"):
        seconds = vm.reset() if options.command == "reset" else vm.reboot()
        done(f"a new boot answers after {duration(seconds)}")
    elif options.command == "snapshot":
        vm.snapshot(options.tag)
    elif options.command == "restore":
        done(f"as at {options.tag}, after {duration(vm.restore(options.tag))}")
    elif options.command == "link":
        vm.link(options.nic, options.state == "up")
    else:
        acts: dict[str, Callable[[], object]] = {
            "start": vm.start,
            "stop": vm.stop,
            "kill": vm.kill,
            "destroy": vm.destroy,
        }
        acts[options.command]()


if __name__ == "__main__":
    guarded(main)
