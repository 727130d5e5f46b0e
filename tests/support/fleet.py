"""Two hosts on this one machine, each with a site of its own by the playbooks, and a cable between them.

A host is a machine with processes, a name and an engine of its own, on whose file system it may change everything. All
of it ends with whoever made it, however that ends.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.machine import Machine, eventually
from tests.support.site import ADMIN, SERVICES, Client, Wire, container, login, network_namespace, playbook, result

CABLE = "uplink"
# RFC 5737: they are nobody's.
ADDRESSES = {"first": "192.0.2.11", "second": "192.0.2.12"}
# What /run holds of a machine, or a site of this one, is not below these. Docker's own files cannot lie on an overlay.
_OWN = """\
place=$1
hostname "$2"
for directory in etc usr var; do
  mkdir -p "$place/$directory/upper" "$place/$directory/work"
  layers="lowerdir=/$directory,upperdir=$place/$directory/upper,workdir=$place/$directory/work"
  mount -t overlay overlay -o "$layers" "/$directory"
done
rm -rf /etc/tripod /etc/docker /var/lib/tripod /var/cache/tripod /usr/local/lib/tripod /usr/local/sbin/tripod-host
# There is no way to a mirror from there, and what is to be installed is.
mkdir -p /var/lib/apt/periodic
touch /var/lib/apt/lists /var/lib/apt/periodic/update-success-stamp
mkdir -p "$place/docker" /var/lib/docker
mount --bind "$place/docker" /var/lib/docker
mount -t tmpfs tmpfs /run
mkdir /run/sys
mount --rbind /sys/fs /run/sys
mount -t sysfs sysfs /sys
mount --rbind /run/sys /sys/fs
mount -t bpf bpf /sys/fs/bpf
mount --make-rshared /
ip link set lo up
"""


class Host(Machine):
    """A machine for a site.

    Args:
        name: It calls itself that.
        place: A directory for what it changes, on a file system that may be under an overlay.
    """

    namespaces = ("--mount", "--net", "--pid", "--uts", "--ipc")

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        first = ["--fork", "--kill-child", "--mount-proc", "env", "--ignore-signal=CHLD", "sleep", "infinity"]
        self.holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", *self.namespaces, *first])
        eventually(lambda: self._children() and self._named(self._children()[0]) == "sleep", 5)
        self._first = int(self._children()[0])
        self.run("sh", "-ec", _OWN, "sh", str(place), name)

    def _children(self) -> list[str]:
        return Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()

    @staticmethod
    def _named(process: str) -> str:
        return Path(f"/proc/{process}/comm").read_text().strip()

    @property
    def first(self) -> int:
        """The first process within it, with which all others end."""
        return self._first

    def close(self) -> None:
        """End it, and wait until nothing of it runs."""
        super().close()
        # Nobody may have asked yet how its first process ended.
        eventually(lambda: not self.filesystem.exists(), 30)

    def docker(self, *words: str) -> str:
        """Return what the docker command prints."""
        return self.run("docker", *words).strip()

    def healthy(self, service: str) -> bool:
        """Whether Docker calls the service healthy now."""
        return self.docker("inspect", container(service), "--format", "{{.State.Health.Status}}") == "healthy"

    def started(self) -> dict[str, str]:
        """Return since when each service has been running."""
        return {one: self.docker("inspect", container(one), "--format", "{{.State.StartedAt}}") for one in SERVICES}

    def api(self) -> Api:
        """Return its REST API as its first administrator."""
        return Api(self)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Move the calling thread into its network."""
        with network_namespace(f"/proc/{self.first}/ns/net"):
            yield


class Api(Client):
    """The REST API of a host, asked on that host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        with host.network():
            answer = login(ADMIN, (host.filesystem / "etc/tripod/secrets/flask-backend/admin_password").read_text())
        assert answer.status_code == 200, answer.text
        super().__init__(answer.json()["access_token"])

    def __call__(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Return the answer to one call below ``/api/v1``."""
        with self.host.network():
            return super().__call__(method, path, body)


class Fleet:
    """Hosts with a cable between them, and the inventory that names them.

    Args:
        folder: For the inventory, the authority and what the hosts change.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        self._made = 0
        # What an operator says of them: the first one's API serves the second one's data plane.
        self.said: dict[str, dict[str, Any]] = {
            "first": {"flask_backend_data_planes": [{"name": "second"}]},
            "second": {"go_backend_grpc_address": "0.0.0.0"},
        }

    def make(self, name: str) -> Host:
        """Make a host, anew where it was there: nothing of it is left."""
        if former := self.hosts.pop(name, None):
            # The kernel removes a network in its own time, and the other end of a cable with it.
            if self.hosts:
                former.run("ip", "link", "delete", CABLE)
            former.close()
        self._made += 1
        place = self.folder / f"{name}-{self._made}"
        place.mkdir()
        host = self.hosts[name] = Host(name, place)
        others = [other for other in self.hosts.values() if other is not host]
        for other in others:
            ends = (CABLE, "netns", str(host.first), "type", "veth", "peer", "name", CABLE, "netns", str(other.first))
            subprocess.run(["ip", "link", "add", *ends], check=True)
        for end in (host, *others) if others else ():
            end.run("ip", "address", "add", f"{ADDRESSES[end.name]}/24", "dev", CABLE)
            end.run("ip", "link", "set", CABLE, "up")
        return host

    def inventory(self, **away: int) -> Path:
        """Write the inventory.

        Args:
            away: A process to enter instead of a host's own, by the host's name.
        """
        hosts = {
            name: {
                "ansible_host": ADDRESSES[name],
                "ansible_nsenter_pid": away.get(name, host.first),
                **self.said[name],
            }
            for name, host in self.hosts.items()
        }
        # NICs and policy as the example for one machine has them; the control node's own files are not where a site
        # of this machine would have them.
        example = yaml.safe_load((Path(__file__).resolve().parents[2] / "inventory" / "localhost.yml").read_text())
        given: Mapping[str, Any] = {
            **example["all"]["vars"],
            "ansible_connection": "community.docker.nsenter",
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "pki_authority_dir": "{{ inventory_dir }}/ca",
            "tripod_marchproxy_directory": "{{ inventory_dir }}/marchproxy",
        }
        groups = {"tripod": {"hosts": hosts, "vars": given}, "lab": {"hosts": dict.fromkeys(hosts)}}
        path = self.folder / "hosts.yml"
        path.write_text(yaml.safe_dump(groups, sort_keys=False))
        return path

    def play(self, *words: str, **away: int) -> subprocess.CompletedProcess[str]:
        """Run ansible-playbook on them; see ``inventory``."""
        return playbook(*words, inventory=str(self.inventory(**away)))

    def succeed(self, *words: str, **away: int) -> dict[str, Any]:
        """Return what a run says of every task that no host may fail."""
        done = self.play(*words, **away)
        assert done.returncode == 0, told(done)
        return result(done)

    def wire(self, name: str) -> Wire:
        """Return the far end of a host's lab NIC."""
        return Wire(self.hosts[name].filesystem)

    def close(self) -> None:
        """End all of it."""
        for host in self.hosts.values():
            host.close()


def told(done: subprocess.CompletedProcess[str]) -> str:
    """Return what failed in a run, in words."""
    try:
        reported = result(done)
    except ValueError:
        return done.stdout[-4000:] + done.stderr[-2000:]
    failed = [
        f"{task['task']['name']} on {name}: {answer.get('msg')} {answer.get('stderr', '')[-2000:]}"
        for play in reported["plays"]
        for task in play["tasks"]
        for name, answer in task["hosts"].items()
        if answer.get("failed") or answer.get("unreachable")
    ]
    return "\n".join([*failed, done.stderr[-2000:]])


def changed(reported: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the tasks that changed something, or would, by host."""
    found: dict[str, list[str]] = {}
    for play in reported["plays"]:
        for task in play["tasks"]:
            for name, answer in task["hosts"].items():
                if answer.get("changed"):
                    found.setdefault(name, []).append(task["task"]["name"])
    return found


@contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    """Yield two hosts on which nothing of ours is."""
    with ExitStack() as stack:
        made = Fleet(folder)
        stack.callback(made.close)
        for name in ADDRESSES:
            made.make(name)
        yield made
