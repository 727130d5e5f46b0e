"""A program that sends a request over and over, on so many connections at once, and says how that went.

Usage: python load.py PORT CONNECTIONS SECONDS [AUTHORITY], with the request on standard input. With a file of
certificates that are trusted it speaks TLS to localhost. Prints one JSON object.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

CLOSES = b"\r\nconnection: close\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: ([0-9]+)\r\n", re.IGNORECASE)


@dataclass
class Client:
    """A connection, and what of an answer it has."""

    socket: socket.socket
    began: float = 0.0
    head: bytes = b""
    missing: int | None = None


@dataclass
class Load:
    """Requests of one form to one port.

    Attributes:
        latencies: Of each answer (seconds).
        statuses: How many answers had which.
    """

    port: int
    request: bytes
    context: ssl.SSLContext | None = None
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def run(self, connections: int, seconds: float) -> float:
        """Keep the connections busy, and return for how long (seconds)."""
        began = time.perf_counter()
        with selectors.DefaultSelector() as selector:
            for _ in range(connections):
                self._begin(selector)
            while time.perf_counter() < began + seconds:
                for key, _ in selector.select(1):
                    if not self._take(key.data):
                        continue
                    if CLOSES in key.data.head.lower():
                        selector.unregister(key.data.socket)
                        key.data.socket.close()
                        self._begin(selector)
                    else:
                        self._send(key.data)
            spent = time.perf_counter() - began
            for key in list(selector.get_map().values()):
                key.data.socket.close()
        return spent

    def _begin(self, selector: selectors.BaseSelector) -> None:
        line = socket.create_connection(("127.0.0.1", self.port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(self.context.wrap_socket(line, server_hostname="localhost") if self.context else line)
        selector.register(client.socket, selectors.EVENT_READ, client)
        self._send(client)

    def _send(self, client: Client) -> None:
        client.head, client.missing, client.began = b"", None, time.perf_counter()
        client.socket.sendall(self.request)

    def _take(self, client: Client) -> bool:
        """Read, and tell whether the answer is whole."""
        data = client.socket.recv(1 << 18)
        # Of what TLS has read ahead the selector knows nothing.
        while isinstance(client.socket, ssl.SSLSocket) and (ready := client.socket.pending()):
            data += client.socket.recv(ready)
        if not data:
            raise SystemExit(f"the server closed a connection after {len(self.latencies)} answers")
        if client.missing is None:
            client.head += data
            end = client.head.find(b"\r\n\r\n")
            if end < 0:
                return False
            found = LENGTH.search(client.head, 0, end + 2)
            if found is None:
                raise SystemExit(f"an answer without its length: {client.head[:200]!r}")
            client.missing = int(found[1]) - (len(client.head) - end - 4)
        else:
            client.missing -= len(data)
        if client.missing > 0:
            return False
        self.statuses[client.head[9:12].decode()] += 1
        self.latencies.append(time.perf_counter() - client.began)
        return True


def main() -> None:
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    context = ssl.create_default_context(cafile=sys.argv[4]) if sys.argv[4:] else None
    load = Load(port, sys.stdin.buffer.read(), context)
    spent = load.run(connections, seconds)
    latencies = sorted(load.latencies)
    sys.stdout.write(
        json.dumps(
            {
                "rate": len(latencies) / spent,
                "p50": latencies[len(latencies) // 2],
                "p99": latencies[int(len(latencies) * 0.99)],
                "statuses": load.statuses,
            }
        )
    )


if __name__ == "__main__":
    main()
