"""The entrypoint with the image's own RabbitMQ: what is there after a start, what outlives a kill, and refusals."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pika
import pytest
from authority import Authority
from broker import DATA, Broker, consume, publish


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
    assert broker.tool("list_vhosts", "--no-table-headers", "name", "default_queue_type").split() == ["tripod", "quorum"]
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
    broker.port, port = broker.tools, broker.port
    assert broker.health().returncode == 1
    broker.port = port
    broker.secrets, secrets = Authority(tmp_path, "second").issue("rabbitmq"), broker.secrets
    failed = broker.health()
    broker.secrets = secrets
    assert failed.returncode == 1
    assert "certificate" in failed.stdout


def test_what_was_confirmed_outlives_a_kill_and_another_start_and_accounts_follow_their_list(stopped: Broker) -> None:
    stopped.start(MQ_CLIENTS="connector former")
    former = stopped.authority.issue("former")
    stopped.connect(former).close()
    with pytest.raises(pika.exceptions.AMQPError), stopped.channel() as channel:
        classic = {"x-queue-type": "classic"}
        channel.queue_declare("tripod.classic", durable=True, arguments=classic)
        channel.queue_bind("tripod.classic", "tripod.jobs", "job")
        for number in range(500):
            publish(channel, str(number))
        stopped.stop(signal.SIGKILL)
    other = Broker.__new__(Broker)
    other.__dict__ |= stopped.__dict__
    stopped.start()
    assert "in use by another container" in other.refuse()
    expected = [str(number) for number in range(500)]
    with stopped.channel() as channel:
        # The second time a start goes on with what is there.
        assert consume(channel) == expected
        assert consume(channel, "tripod.classic") == expected
    with pytest.raises(pika.exceptions.AMQPError):
        stopped.connect(former)
    stopped.connect().close()
    assert stopped.stop() == 0


def test_publishers_wait_where_the_disk_is_nearly_full_and_are_told_why(stopped: Broker) -> None:
    stopped.start(MQ_DISK_FREE="900T")
    assert re.search(r"free space is insufficient|[Dd]isk.*alarm|disk resource limit alarm", stopped.said())
    blocked: list[str] = []
    connection = stopped.connect(blocked_connection_timeout=2)
    connection.add_on_connection_blocked_callback(lambda _where, method: blocked.append(method.method.reason))
    channel = connection.channel()
    channel.exchange_declare("tripod.jobs")
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.ConnectionBlockedTimeout):
        channel.basic_publish("tripod.jobs", "job", b"")
    assert blocked == ["low on disk"]


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"MQ_PORT": "amqp"}, "MQ_PORT is 'amqp', and a number is needed"),
        ({"MQ_PORT": "70000"}, "MQ_PORT is 70000: expected 1 to 65535"),
        ({"MQ_VHOST": ""}, "MQ_VHOST is not set"),
        ({"MQ_VHOST": 'a"b'}, "MQ_VHOST has 'a\"b'"),
        ({"MQ_CLIENTS": ""}, "MQ_CLIENTS is not set"),
        ({"MQ_CLIENTS": "connector Bob"}, "MQ_CLIENTS has 'Bob'"),
        ({"MQ_CLIENTS": "x" * 64}, "at most 63"),
        ({"MQ_DISK_FREE": "much"}, "MQ_DISK_FREE is 'much'"),
        ({"MQ_DISK_FREE": "0M"}, "MQ_DISK_FREE is '0M'"),
        ({"TLS_DIRECTORY": ""}, "TLS_DIRECTORY is not set"),
        ({"TLS_DIRECTORY": "/nonexistent"}, "cannot read /nonexistent/tls.key as uid"),
        ({"ERLANG_COOKIE_FILE": ""}, "ERLANG_COOKIE_FILE is not set"),
        ({"ERLANG_COOKIE_FILE": "/nonexistent"}, "cannot read /nonexistent as uid"),
        ({"ERLANG_COOKIE_FILE": "/dev/null"}, "less than 16 bytes"),
    ],
)
def test_refusals_come_before_anything_is_made(stopped: Broker, environ: dict[str, str], reason: str) -> None:
    assert reason in stopped.refuse(**environ)
    assert list(DATA.iterdir()) == []


def test_a_certificate_that_no_client_would_take_is_refused(stopped: Broker) -> None:
    key = (stopped.secrets / "tls.key").read_bytes()
    stopped.authority.issue("rabbitmq")
    (stopped.secrets / "tls.key").unlink()
    (stopped.secrets / "tls.key").write_bytes(key)
    assert "tls.crt is for another key than tls.key" in stopped.refuse()
    (stopped.secrets / "tls.key").unlink()
    stopped.authority.issue("rabbitmq", dates=("-not_before", "20200101000000Z", "-not_after", "20200201000000Z"))
    assert "tls.crt is no certificate, or it has ended" in stopped.refuse()


def test_data_that_cannot_be_used_is_told_and_left_alone(stopped: Broker) -> None:
    place = DATA / "rabbit@localhost"
    place.mkdir(mode=0o500)
    assert f"{place} cannot be written by uid {os.getuid()}" in stopped.refuse()
    place.chmod(0o700)
    assert not (DATA / ".lock").exists()
