"""What one client, a frozen database or a full disk takes from all others: nothing they would notice.

Figures are ratios: what the others wait, over what they wait without the trouble, as the machine may be slow or busy.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import guesser
import pytest
from others import RATIO, background, latencies, others, ratio
from service import LOGIN, PATIENCE, Service, children
from wire import connect, error_code, parse

from tripod_api import reading, worker
from tripod_api.config import Database
from tripod_api.passwords import LANES

pytestmark = pytest.mark.databases("postgres")
HEAD = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
SLOW = {
    "body": HEAD + b"Content-Length: 4000\r\n\r\n",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n",
    "headers": b"GET /api/v1/status HTTP/1.1\r\nX: ",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_requests_take_nothing_from_others(service: Service, kind: str) -> None:
    def trickle(over: threading.Event) -> None:
        with ExitStack() as opened:
            clients: list[socket.socket] = []
            while not over.is_set():
                while len(clients) < 64:
                    clients.append(opened.enter_context(connect(service.port)))
                    clients[-1].sendall(SLOW[kind])
                for client in list(clients):
                    try:
                        client.send(b"x" if kind != "nothing" else b"")
                    except OSError:
                        clients.remove(client)
                over.wait(1)

    assert ratio(others(service), lambda: background(trickle)) < RATIO


def held(service: Service) -> int:
    """Return how many connections of clients the service has not closed yet."""
    port, listening, time_wait = f":{service.port:04X}", "0A", "06"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].endswith(port) and line[3] not in (listening, time_wait) for line in lines)


def test_requests_that_are_given_up_take_nothing_from_others(service: Service) -> None:
    """Sent in full and cut off at once, as a browser does that goes on to another page."""
    token = service.login()[1]["access_token"]
    request = f"GET /api/v1/users HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    cut = struct.pack("ii", 1, 0)  # struct linger: closing sends a reset, and waits for nothing

    def give_up(over: threading.Event) -> None:
        while not over.wait(0.02):
            with connect(service.port) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, cut)
                client.sendall(request)

    assert ratio(others(service), lambda: background(give_up)) < RATIO
    service.wait(lambda: held(service) == 0)


def test_more_slow_requests_than_there_is_room_for_make_room(service: Service) -> None:
    clients = []
    try:
        for _ in range(worker.WORKERS * worker.CONNECTIONS // 2):
            clients.append(connect(service.port))
            clients[-1].sendall(SLOW["body"])
        ask = others(service)
        latencies(ask, 10)
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("kind", ["body", "chunks", "headers"])
def test_a_slow_request_is_told_so_in_time(service: Service, kind: str) -> None:
    limit = reading.HEAD_SECONDS if kind == "headers" else reading.BODY_SECONDS
    with connect(service.port) as client:
        client.sendall(SLOW[kind])
        began = time.monotonic()
        client.setblocking(False)
        answer = b""
        while not answer and time.monotonic() < began + 3 * limit:
            time.sleep(0.2)
            try:
                answer = client.recv(65536)
            except BlockingIOError:
                client.send(b"x")
        seconds = time.monotonic() - began
    assert error_code(parse(answer)) == "request_timeout"
    # The rest is a busy machine's.
    assert limit - 1 < seconds < 2 * limit + 4


def test_a_client_that_takes_no_answer_holds_no_thread_for_long(service: Service) -> None:
    def deaf(over: threading.Event) -> None:
        clients = [connect(service.port) for _ in range(40)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            client.settimeout(0.2)
            try:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
            except OSError:
                continue
        over.wait(600)
        for client in clients:
            client.close()

    ask = others(service)
    with background(deaf):
        time.sleep(worker.SEND_SECONDS + 2)
        latencies(ask, 20)


@contextmanager
def guessers(service: Service, threads: int, statuses: Counter[str]) -> Iterator[None]:
    command = [sys.executable, str(Path(guesser.__file__)), str(service.port), str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        process.stdin.write(f"{json.dumps(LOGIN)}\n")
        process.stdin.flush()
        time.sleep(1)
        try:
            yield
        finally:
            told, _ = process.communicate(timeout=120)
            statuses.update(json.loads(told))


def test_a_storm_of_logins_leaves_others_alone(service: Service) -> None:
    """32 at once, again and again, of one account; who comes too much is told when to come again."""
    statuses: Counter[str] = Counter()
    found = ratio(others(service), lambda: guessers(service, 32, statuses))
    print(statuses)
    assert statuses.keys() == {"200", "429 busy"}
    assert found < RATIO


def test_200_logins_of_one_account_all_get_an_answer_soon(service: Service) -> None:
    def login(_: int) -> tuple[int, float]:
        began = time.monotonic()
        return service.login()[0], time.monotonic() - began

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(login, range(200)))
    assert {status for status, _ in answers} <= {200, 429}
    assert sum(status == 200 for status, _ in answers) >= 2
    assert max(seconds for _, seconds in answers) < 20
    assert service("GET", "/healthz")[0] == 200


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk_costs_no_request(address: Database, tmp_path: Path) -> None:
    home = tmp_path / "full"
    home.mkdir()
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", home], check=True)
    try:
        (home / "rest").touch()
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        service = Service(address, secrets, TMPDIR=str(home))
        try:
            service.wait(service.ready)
            with pytest.raises(OSError, match="No space"):
                (home / "rest").write_bytes(bytes(1 << 20))
            before = service.children()
            ask = others(service)
            latencies(ask, 30)
            assert 'route="/api/v1/auth/me",status="200"} 30.0' in service("GET", "/metrics")[1]
            assert service.children() == before
            os.kill(before[0], signal.SIGKILL)
            service.wait(lambda: len(service.children()) == 2 and service.children() != before)
            latencies(ask, 30)
            assert 'route="/api/v1/auth/me",status="200"} 60.0' in service("GET", "/metrics")[1]
            assert os.listdir(home) == ["rest"]
        finally:
            service.kill()
    finally:
        subprocess.run(["/usr/bin/umount", "--lazy", home], check=True)


def test_counts_go_on_over_the_death_of_workers(service: Service) -> None:
    for round_ in range(1, 7):
        assert service("GET", "/api/v1/status")[0] == 200
        before = service.children()
        os.kill(before[round_ % 2], signal.SIGKILL)
        service.wait(lambda before=before: len(service.children()) == 2 and service.children() != before)
        service.wait(service.ready)
        assert f'route="/api/v1/status",status="200"}} {round_}.0' in service("GET", "/metrics")[1]


def test_both_workers_share_the_lanes_of_bcrypt(service: Service) -> None:
    """Or each would take half of the CPUs for itself; and the hashers end with their workers."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: service.login(), range(8)))

    def lanes(worker_: int) -> set[int]:
        opened = [path for path in Path(f"/proc/{worker_}/fd").iterdir() if "bcrypt-lanes" in os.readlink(path)]
        return {path.stat().st_ino for path in opened}

    first, second = service.children()
    assert len(lanes(first)) == 1
    assert lanes(first) == lanes(second)
    hashers = [child for one in (first, second) for child in children(one)]
    assert 0 < len(hashers) <= 2 * LANES
    os.kill(first, signal.SIGKILL)
    service.kill()
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{child}/cmdline").exists() for child in hashers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
