"""The image's own RabbitMQ, started by its entrypoint as a container starts it, and clients of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
from authority import Authority

# Where a container has its volume and its file in memory.
DATA, RUN = Path("/var/lib/rabbitmq"), Path("/run/rabbitmq")
START_SECONDS = 90


def free_port() -> int:
    """Return a port of the loopback that nobody listens on.

    It is below those that the kernel gives to whoever connects (ip_local_port_range), so that nobody takes it by chance
    before the service does.
    """
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Broker:
    """One container's worth of RabbitMQ, one at a time."""

    def __init__(self, home: Path) -> None:
        self.port, self.tools = free_port(), free_port()
        self.authority = Authority(home)
        self.secrets = self.authority.issue("rabbitmq")
        self.client = self.authority.issue("connector")
        self.cookie = self.secrets / "erlang_cookie"
        self.cookie.write_text("a-cookie-of-the-tests-alone")
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        given = {
            "MQ_PORT": str(self.port),
            "MQ_TOOLS_PORT": str(self.tools),
            "MQ_VHOST": "tripod",
            "MQ_CLIENTS": "connector",
            "MQ_DISK_FREE": "1M",
            "ERLANG_COOKIE_FILE": str(self.cookie),
            "TLS_DIRECTORY": str(self.secrets),
        }
        return os.environ | given

    def launch(self, **environ: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["entrypoint.sh"], env=self.environment | environ, stdout=log, stderr=log)
        return self.process

    def start(self, **environ: str) -> None:
        """Start it, and wait until it is healthy by the image's own check and has done all that comes after."""
        begin = len(self.said())
        process = self.launch(**environ)
        deadline = time.monotonic() + START_SECONDS
        while self.health().returncode or "Time to start RabbitMQ" not in self.said()[begin:]:
            assert process.poll() is None, self.said()[begin:]
            assert time.monotonic() < deadline, self.said()[begin:]
            time.sleep(0.2)

    def health(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["healthy.sh"], env=self.environment, capture_output=True, text=True, check=False)

    def refuse(self, **environ: str) -> str:
        """Start where no start is possible; return the reason."""
        begin = len(self.said())
        assert self.launch(**environ).wait(START_SECONDS) == 1
        return self.said()[begin:]

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it as a container ends, and wait until nothing of it holds the data any more."""
        assert self.process
        self.process.send_signal(how)
        status = self.process.wait(60)
        deadline = time.monotonic() + 30
        while not self._free():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return status

    def _free(self) -> bool:
        with (DATA / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def tool(self, *words: str) -> str:
        """Return what rabbitmqctl prints."""
        command = ["rabbitmqctl", "--quiet", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def connect(self, secrets: Path | None = None, name: str = "rabbitmq", **more: Any) -> pika.BlockingConnection:
        """Return a connection of a client.

        Args:
            secrets: Its directory; that of the one client where none is given.
            name: That the broker's certificate is to be for.
            more: Parameters of the connection.
        """
        place = secrets or self.client
        context = ssl.create_default_context(cafile=str(place / "ca.crt"))
        if (place / "tls.crt").exists():
            context.load_cert_chain(place / "tls.crt", place / "tls.key")
        known = {
            "host": "127.0.0.1",
            "port": self.port,
            "virtual_host": "tripod",
            "ssl_options": pika.SSLOptions(context, name),
        }
        known |= {"credentials": pika.credentials.ExternalCredentials()}
        return pika.BlockingConnection(pika.ConnectionParameters(**(known | more)))

    def open(self) -> pika.adapters.blocking_connection.BlockingChannel:
        """Return a channel that has the broker confirm what is published, with an exchange and a queue behind it."""
        channel = self.connect().channel()
        channel.confirm_delivery()
        channel.exchange_declare("tripod.jobs", durable=True)
        channel.queue_declare("tripod.jobs", durable=True)
        channel.queue_bind("tripod.jobs", "tripod.jobs", "job")
        return channel

    @contextlib.contextmanager
    def channel(self) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
        """Yield such a channel, and close its connection at the end."""
        channel = self.open()
        yield channel
        channel.connection.close()


def publish(channel: pika.adapters.blocking_connection.BlockingChannel, body: str) -> None:
    """Publish a message that is to outlive the broker; return once the broker has confirmed it."""
    properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    channel.basic_publish("tripod.jobs", "job", body.encode(), properties, mandatory=True)


def consume(channel: pika.adapters.blocking_connection.BlockingChannel, queue: str = "tripod.jobs") -> list[str]:
    """Take all messages out of a queue."""
    found = []
    for method, _properties, body in channel.consume(queue, inactivity_timeout=2):
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
        found.append(body.decode())
    channel.cancel()
    return found


def empty() -> None:
    """Leave nothing of the broker before."""
    for place in (DATA, RUN):
        for path in place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
