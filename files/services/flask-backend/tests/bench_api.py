"""What a request of the API costs beside a plain Flask hello on gunicorn's own worker of threads, in the same run.

Usage: python tests/bench_api.py [--web-interface SERVER.CJS] [--front NGINX_CONFIG.PY] [--rounds N] [--seconds S]

Rounds of all sides take turns, and of each the best counts: whatever else the machine does makes a round slower, and
never faster. PostgreSQL is one of its own, and go-backend's side is played by the tests' peer.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authority import Authority
from conftest import SECRET
from servers import own_postgres
from service import LOGIN, Service, children, free_port
from test_policies import NOON, Peer, serving

from tripod_api.config import Database
from tripod_api.gen import policy_pb2 as pb
from tripod_api.identity import AUTHORITY, CERTIFICATE, KEY

HERE = Path(__file__).parent
CONNECTIONS = (1, 16, 64)
ENTRIES = 10_000
DROPS = 1000
GOAL, GOAL_OF_THE_PROXY, GOAL_BESIDE_LOGINS = 0.6, 0.8, 3.0
LOGINS_PER_CPU = 10

THROUGH = "through the web interface"
# What any server in Node costs, whatever it adds.
BARE = "through a plain proxy"
# What browsers have, by TLS as they do, and what those have who ask the API itself.
FRONT, SECURE = "through the front", "hello by TLS"
# Each way that something leads to the API by, with what it is compared with.
WAYS = {THROUGH: "hello", FRONT: SECURE}

Figures = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One of those that are compared.

    Attributes:
        server: gunicorn's process behind it.
        proxy: The processes between.
        trusted: Whom it is known by, where it speaks TLS.
    """

    port: int
    path: str
    token: str
    server: int
    proxy: tuple[int, ...] = ()
    trusted: Path | None = None

    def round(self, connections: int, seconds: float) -> Figures:
        before = self._cpu_seconds()
        found = load(self.port, self.path, connections, seconds, self.token, self.trusted)
        taken = [after - other for after, other in zip(self._cpu_seconds(), before, strict=True)]
        cpu, proxy = (one / found["statuses"]["200"] for one in taken)
        return {**found, "cpu": cpu, "proxy": proxy}

    def _cpu_seconds(self) -> tuple[float, float]:
        return cpu_seconds(children(self.server)), cpu_seconds(self.proxy)


class LargePeer(Peer):
    """Has a policy of 10,000 entries, and as many samples of drops as may be asked for at once."""

    def GetPolicy(self, request: Any, context: Any) -> pb.GetPolicyResponse:  # noqa: N802
        self._take(request, context)
        entries = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(ENTRIES)]
        document = json.dumps({"lists": [{"name": "blocked", "owner": "api", "action": "drop", "entries": entries}]})
        return pb.GetPolicyResponse(state=pb.PolicyState(name=request.policy, digest="ab"), document=document, own="{}")

    def ListSamples(self, request: Any, context: Any) -> pb.ListSamplesResponse:  # noqa: N802
        self._take(request, context)
        fields = {"interface": "ens1", "verdict": "drop", "reason": "list_drop", "part": "list:bogons", "length": 1514}
        addresses = {"source": "203.0.113.9", "destination": "192.0.2.1", "protocol": 17, "source_port": 53}
        sample = pb.Sample(**fields, **addresses, destination_port=53, frame=bytes(range(128)))
        sample.time.FromJsonString(NOON)
        return pb.ListSamplesResponse(samples=[sample] * request.limit)


def load(
    port: int, path: str, connections: int, seconds: float, token: str = "", trusted: Path | None = None
) -> Figures:
    """Return what the program `load` measured."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n"
    command = [sys.executable, str(HERE / "load.py"), str(port), str(connections), str(seconds)]
    command += [str(trusted)] if trusted else []
    done = subprocess.run(command, input=request.encode(), capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{path} on port {port}: {done.stderr.decode()}")
    found: Figures = json.loads(done.stdout)
    if found["statuses"].keys() != {"200"}:
        raise SystemExit(f"{path} on port {port}: answers {found['statuses']}")
    return found


@contextmanager
def process(command: list[str], port: int, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; it answers before that begins."""
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as running:
        try:
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                try:
                    connection.request("GET", "/healthz")
                    connection.getresponse().read()
                    break
                except OSError:
                    if running.poll() is not None:
                        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}") from None
                    time.sleep(0.1)
                finally:
                    connection.close()
            yield running
        finally:
            running.terminate()


@contextmanager
def logins(service: Service, each_second: int, statuses: Counter[int]) -> Iterator[None]:
    """Sign in so often, whatever becomes of it."""
    over = threading.Event()

    def one() -> None:
        statuses[service("POST", "/api/v1/auth/login", LOGIN)[0]] += 1

    def begin() -> None:
        with ThreadPoolExecutor(4 * each_second) as pool:
            while not over.wait(1 / each_second):
                pool.submit(one)

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def cpu_seconds(processes: Iterable[int]) -> float:
    """Return the CPU time of processes, without that of those which they started."""
    threads = [path for process in processes for path in Path(f"/proc/{process}/task").glob("*/schedstat")]
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9


def best(found: list[Figures]) -> Figures:
    return max(found, key=lambda figures: float(figures["rate"]))


def verdict(ratio: float, goal: float, least: bool = True) -> str:
    met = ratio >= goal if least else ratio < goal
    return f"{ratio:.2f} ({'at least' if least else 'below'} {goal}){'' if met else '  MISSED'}"


def resident(pid: int) -> float:
    """Return a process's share of memory (MiB)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(pid)


def compare(sides: dict[str, Side], connections: int, given: argparse.Namespace) -> None:
    """Print what the sides do with so many connections, and the ratios."""
    rounds: dict[str, list[Figures]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, side in sides.items():
            rounds[name].append(side.round(connections, given.seconds))
    found = {name: best(figures) for name, figures in rounds.items()}
    cpu = {name: min(figures["cpu"] for figures in rounds[name]) for name in sides}
    for name, figures in found.items():
        took = "  ".join(f"{which} {1000 * figures[which]:6.2f} ms" for which in ("p50", "p99"))
        between = min(found["proxy"] for found in rounds[name])
        print(
            f"{connections:3} connections  {name:26} {figures['rate']:7.0f} a second  {took}"
            f"  {1e6 * cpu[name]:5.0f} us of the workers' CPUs each"
            + (f", {1e6 * between:5.0f} of the proxy's" if between else "")
        )
    ratio, of_cpu = found["hello"]["rate"] / found["plain"]["rate"], cpu["plain"] / cpu["hello"]
    print(f"{connections:3} connections  hello to plain: {verdict(ratio, GOAL)}; by the CPU time of each {of_cpu:.2f}")
    for way, direct in WAYS.items():
        if way in found:
            ratio = found[way]["rate"] / found[direct]["rate"]
            print(f"{connections:3} connections  {way} to {direct}: {verdict(ratio, GOAL_OF_THE_PROXY)}")
    if BARE in found:
        print(f"{connections:3} connections  {BARE} to hello: {found[BARE]['rate'] / found['hello']['rate']:.2f}")


@contextmanager
def front(source: Path, home: Path, api: Service, identity: Path) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Run the TLS front with the role's own configuration; yield its port and its processes."""
    spec = importlib.util.spec_from_file_location("nginx_config", source)
    assert spec
    assert spec.loader
    config = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(config)
    said = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True)  # noqa: S607
    port, authority = free_port(), str(identity / AUTHORITY)
    given = config.Front(
        addresses=("127.0.0.1",),
        port=port,
        api_port=0,
        redirect_port=0,
        certificate=str(identity / CERTIFICATE),
        key=str(identity / KEY),
        web="127.0.0.1:1",
        api=f"127.0.0.1:{api.port}",
        api_authority=authority,
        api_name="localhost",
        secret="",
    )
    run = home / "front"
    run.mkdir()
    path = run / "nginx.conf"
    text = config.render(given, config.Build.parse(said.stdout + said.stderr))
    path.write_text(text.replace(config.RUN_DIRECTORY, str(run)))
    with process(["nginx", "-c", str(path), "-g", "daemon off;"], port, {"PATH": os.environ["PATH"]}) as running:
        yield port, tuple(children(running.pid))


def beside_logins(service: Service, token: str, given: argparse.Namespace) -> None:
    """Print what sign-ins cost all others."""

    def figures() -> list[Figures]:
        return [load(service.port, "/api/v1/hello", 1, given.seconds, token) for _ in range(given.rounds)]

    quiet = min(found["p99"] for found in figures())
    statuses: Counter[int] = Counter()
    each_second = LOGINS_PER_CPU * (os.cpu_count() or 1)
    with logins(service, each_second, statuses):
        beside = min(found["p99"] for found in figures())
    print(
        f"{each_second} sign-ins a second, of one account: answers {dict(sorted(statuses.items()))};"
        f" others' p99 to quiet: {verdict(beside / quiet, GOAL_BESIDE_LOGINS, least=False)}"
    )


def cpu() -> str:
    """Return the CPU's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--web-interface", type=Path, help="its server as `npm run build` makes it")
    parser.add_argument("--front", type=Path, help="what makes its configuration (nginx_config.py of the collection)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round")
    given = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tripod-bench-")))
        cluster = stack.enter_context(own_postgres())
        secret = home / "secret"
        secret.write_text(SECRET)
        target = f"127.0.0.1:{free_port()}"
        stack.enter_context(serving(LargePeer(), target))
        told = {"LOG_LEVEL": "INFO", "GO_BACKEND_TARGET": target, "GO_BACKEND_SECRET_FILE": str(secret)}
        service = Service(cluster.create_database(), home, **told)
        stack.callback(service.kill)
        service.wait(service.ready)
        token = service.login()[1]["access_token"]
        plain = free_port()
        environ = {**service.environ, "HTTP_PORT": str(plain)}
        environ["PYTHONPATH"] += f":{HERE}"
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:plain"]
        base = stack.enter_context(process(gunicorn, plain, environ))
        sides = {
            "plain": Side(plain, "/", "", base.pid),
            "hello": Side(service.port, "/api/v1/hello", token, service.process.pid),
        }
        if given.web_interface:
            for name, program in ((THROUGH, given.web_interface), (BARE, HERE / "plain_proxy.cjs")):
                port = free_port()
                told = {"HTTP_PORT": str(port), "API_URL": f"http://127.0.0.1:{service.port}", "LOG_LEVEL": "error"}
                environ = {"PATH": os.environ["PATH"], "NODE_ENV": "production", **told}
                running = stack.enter_context(process(["node", str(program)], port, environ))
                sides[name] = Side(port, "/api/v1/hello", token, service.process.pid, (running.pid,))
        if given.front:
            own = home / "secure"
            own.mkdir()
            identity = Authority(home).issue(home / "identity", "localhost")
            # PostgreSQL would have to have certificates, too; the way to the API is what these two are weighed by.
            secure = Service(
                Database("sqlite", str(own / "tripod.db")), own, TLS_DIRECTORY=str(identity), LOG_LEVEL="INFO"
            )
            stack.callback(secure.kill)
            secure.wait(secure.ready)
            asked = "/api/v1/hello", secure.login()[1]["access_token"], secure.process.pid
            port, processes = stack.enter_context(front(given.front, home, secure, identity))
            sides[SECURE] = Side(secure.port, *asked, (), identity / AUTHORITY)
            sides[FRONT] = Side(port, *asked, processes, identity / AUTHORITY)

        print(f"{cpu()}, {os.cpu_count()} CPUs, Linux {platform.release()}, {platform.python_version()}")
        for connections in CONNECTIONS:
            compare(sides, connections, given)
        beside_logins(service, token, given)
        for what, path in (
            (f"a policy of {ENTRIES} entries", "/api/v1/policies/edge"),
            (f"{DROPS} drops", f"/api/v1/drops?limit={DROPS}"),
        ):
            large = load(service.port, path, 1, given.seconds, token)
            print(f"GET of {what}: p50 {1000 * large['p50']:.1f} ms, p99 {1000 * large['p99']:.1f} ms")
        workers = ", ".join(f"{resident(pid):.0f}" for pid in children(service.process.pid))
        print(f"memory of the workers (PSS): {workers} MiB")


if __name__ == "__main__":
    main()
