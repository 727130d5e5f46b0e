"""PyMySQL's connection, each wait of which ends with the deadline of the thread."""

from __future__ import annotations

from typing import Any

from pymysql.connections import Connection as Plain
from pymysql.connections import MysqlPacket

from . import deadline


class Connection(Plain):  # type: ignore[misc]
    """One to MySQL or MariaDB; PyMySQL's own limits of time are fixed when it is made."""

    def connect(self, sock: Any = None) -> None:
        """Reach the server."""
        self.connect_timeout = _left()
        super().connect(sock)

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> Any:
        self._read_timeout = _left()
        return super()._read_packet(packet_type)

    def _write_bytes(self, data: bytes) -> None:
        self._write_timeout = _left()
        super()._write_bytes(data)


def _left() -> float | None:
    seconds = deadline.left()
    # 0 would mean not to wait for what is there already.
    return None if seconds is None else max(seconds, 0.001)
