"""The Docker Engine as the tests find it, and as they must leave it.

It is asked over its socket, not by the ``docker`` command, which a host may lack whose engine runs a site. What cannot
be looked at is an error here, never an absence: on "there is no site", the tests make one, and remove it with its data.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

from .console import Failure
from .paths import VENV
from .run import as_root, logged

SOCKET = Path("/run/docker.sock")
PID_FILE = Path("/run/docker.pid")
# Where an engine that does not run keeps what it will hold again, unless its configuration says another place.
DATA = Path("/var/lib/docker")
CONFIGURATION = Path("/etc/docker/daemon.json")
# Of a site: its secrets, and what was requested of the host. No test has any of it there.
SITE_DIRECTORY = Path("/etc/tripod")
SYSTEMD = Path("/run/systemd/system")
LABEL = "org.tripod.collection"
STOP_SECONDS = 60
ANSWER_SECONDS = 30
# Only root may ask, so it is a program of its own. It prints the answer; nothing where nobody listens.
_ASK = """\
import http.client, socket, sys

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(sys.argv[1])

connection = Connection("localhost", timeout=float(sys.argv[3]))
try:
    connection.connect()
except (FileNotFoundError, ConnectionRefusedError):
    sys.exit()
connection.request("GET", sys.argv[2])
answer = connection.getresponse()
text = answer.read().decode()
sys.exit(f"status {answer.status}: {text}") if answer.status != 200 else print(text)
"""
# A minimal Debian has no kill command.
_END = """\
import os, signal, sys
os.kill(int(sys.argv[1]), signal.SIGTERM)
"""
_LIST = """\
import os, sys
try:
    print(*sorted(os.listdir(sys.argv[1])), sep="\\n")
except FileNotFoundError:
    pass
"""
# Empty directories are nobody's: a module that was ended, or had its state file removed again, leaves them.
_LIST_FILLED = """\
import os, sys

def refuse(error):
    raise error

def filled(path):
    return not os.path.isdir(path) or any(files for _path, _directories, files in os.walk(path, onerror=refuse))

try:
    names = os.listdir(sys.argv[1])
except FileNotFoundError:
    names = []
print(*sorted(name for name in names if filled(os.path.join(sys.argv[1], name))), sep="\\n")
"""


def answers() -> bool:
    """Whether an engine runs here.

    Raises:
        Failure: Something listens on its socket, and gives no answer.
    """
    return _ask("/_ping") is not None


def site_remains() -> list[str]:
    """Return the names of containers, running or not, data volumes and files that belong to a site.

    Raises:
        Failure: They cannot be looked at.
    """
    found = [f"{SITE_DIRECTORY}/{name}" for name in _listed(SITE_DIRECTORY, _LIST_FILLED)]
    filters = urllib.parse.quote(json.dumps({"label": [LABEL]}))
    containers = _ask(f"/containers/json?all=true&filters={filters}")
    volumes = _ask(f"/volumes?filters={filters}")
    if containers is None or volumes is None:
        if held := _held():
            raise Failure(
                f"no Docker Engine runs, and {_data()} holds {', '.join(held)}: a site's or not, that cannot be seen. "
                "Start the engine (systemctl start docker, or dockerd where no systemd runs), then run again"
            )
        return found
    names = [container["Names"][0].lstrip("/") for container in json.loads(containers)]
    names += [volume["Name"] for volume in json.loads(volumes)["Volumes"] or []]
    return names + found


def start() -> None:
    """Start an engine that is installed and holds something, so that this can be looked at.

    Raises:
        Failure: It did not start.
    """
    if SYSTEMD.is_dir():
        logged("engine", [*as_root(), "systemctl", "start", "docker.service"])
        return
    module = ["--module-name", "tripod.baremetal.docker_daemon", "--args", "state=started"]
    logged("engine", [VENV / "bin" / "ansible", "localhost", "--become", "--connection", "local", *module])


def sleeps() -> bool:
    """Whether there is an engine that does not run and holds containers or volumes."""
    return not answers() and bool(_held())


def stop() -> None:
    """Stop the engine, through systemd where that runs it, else by the number in its pid file.

    Raises:
        Failure: It still runs a minute after it was asked to stop.
    """
    if SYSTEMD.is_dir():
        subprocess.run([*as_root(), "systemctl", "stop", "docker.socket", "docker.service"], check=False)
        return
    try:
        number = int(PID_FILE.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return
    if _name(number) != "dockerd":
        return
    subprocess.run([*as_root(), sys.executable, "-I", "-c", _END, str(number)], check=False)
    deadline = time.monotonic() + STOP_SECONDS
    while _name(number) == "dockerd":
        if time.monotonic() > deadline:
            raise Failure(f"dockerd (process {number}) still runs {STOP_SECONDS} s after SIGTERM: see its log, end it")
        time.sleep(0.2)


def _name(number: int) -> str:
    try:
        return Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _ask(path: str) -> Any:
    """Return the text of an engine's answer, or None where nobody listens on its socket."""
    words = [sys.executable, "-I", "-c", _ASK, str(SOCKET), path, str(ANSWER_SECONDS)]
    done = subprocess.run([*as_root(), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise Failure(f"the Docker Engine at {SOCKET} cannot be asked ({why}): see to it, or stop it, then run again")
    return done.stdout or None


def _held() -> list[str]:
    """Return what the data of an engine that does not run holds, in words."""
    data = _data()
    volumes = [name for name in _listed(data / "volumes") if name not in ("backingFsBlockDev", "metadata.db")]
    counts = {"containers": len(_listed(data / "containers")), "volumes": len(volumes)}
    return [f"{count} {kind}" for kind, count in counts.items() if count]


def _data() -> Path:
    try:
        return Path(json.loads(CONFIGURATION.read_text(encoding="utf-8")).get("data-root", DATA))
    except FileNotFoundError:
        return DATA
    except (OSError, ValueError, AttributeError) as error:
        raise Failure(f"{CONFIGURATION} does not tell where the engine's data is: {error}") from error


def _listed(directory: Path, program: str = _LIST) -> list[str]:
    words = [*as_root(), sys.executable, "-I", "-c", program, str(directory)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{directory} cannot be read: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return done.stdout.split()
