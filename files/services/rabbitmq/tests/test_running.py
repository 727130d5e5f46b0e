"""A broker that runs: what it listens on, and what its tools, its clients and its health check see of it."""

from __future__ import annotations

import os
from pathlib import Path

import pika
import pytest
from authority import Authority
from broker import Broker, free_port


def listening(broker: Broker) -> set[tuple[str, int]]:
    """Return the addresses and ports that processes of this user listen on, beside what else is in this network."""
    assert broker.process
    held = set()
    for descriptor in Path(f"/proc/{broker.process.pid}/fd").iterdir():
        held.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in held:
                address, _, port = words[1].partition(":")
                found.add((address, int(port, 16)))
    return found


def test_one_port_is_for_others_and_one_for_its_tools_on_the_loopback(broker: Broker) -> None:
    ports = listening(broker)
    assert {port for _address, port in ports} == {broker.port, broker.tools}
    assert {address for address, port in ports if port == broker.tools} == {"0100007F"}
    # Of all processes here none is a daemon that would tell them.
    names = [path.read_text().strip() for path in Path("/proc").glob("[0-9]*/comm")]
    assert "epmd" not in names


def test_its_tools_know_it_by_the_cookie(broker: Broker) -> None:
    assert broker.tool("list_users", "--no-table-headers").split("\t")[0] == "connector"
    assert broker.tool("list_vhosts", "--no-table-headers", "name", "default_queue_type").split() == [
        "tripod",
        "quorum",
    ]
    assert broker.cookie.read_text() not in broker.said()
    command = Path(f"/proc/{broker.process.pid}/cmdline").read_bytes() if broker.process else b""
    assert b"beam" in command
    assert broker.cookie.read_bytes() not in command


def test_a_client_has_its_own_names_alone(broker: Broker) -> None:
    for name in ("amq.direct", "other", "tripod"):
        connection = broker.connect()
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            connection.channel().queue_declare(name, durable=True)
        connection.close()
    with pytest.raises(pika.exceptions.AMQPError):
        broker.connect(virtual_host="/")


def test_the_health_check_says_what_is_wrong_and_leaves_no_word_in_the_log(broker: Broker, tmp_path: Path) -> None:
    begin = len(broker.said())
    assert broker.health().returncode == 0
    assert broker.said()[begin:] == ""
    broker.port, port = free_port(), broker.port
    assert broker.health().returncode == 1
    broker.port = port
    broker.secrets, secrets = Authority(tmp_path, "second").issue("rabbitmq"), broker.secrets
    failed = broker.health()
    broker.secrets = secrets
    assert failed.returncode == 1
    assert "certificate" in failed.stdout
