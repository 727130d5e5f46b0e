"""The entrypoint with the image's own RabbitMQ: what outlives a kill, what it waits for, and refusals."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pika
import pytest
from broker import DATA, Broker, consume, publish


def test_what_was_confirmed_outlives_a_kill_and_another_start_and_accounts_follow_their_list(stopped: Broker) -> None:
    stopped.start(MQ_CLIENTS="connector former")
    former = stopped.authority.issue("former")
    stopped.connect(former).close()
    # Its connection ends with the broker, so nobody closes it.
    channel = stopped.open()
    channel.queue_declare("tripod.classic", durable=True, arguments={"x-queue-type": "classic"})
    channel.queue_bind("tripod.classic", "tripod.jobs", "job")
    # Ra writes down that there is a quorum queue up to three seconds after it was declared; docs/decisions has it.
    time.sleep(4)
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
    stopped.start(MQ_DISK_FREE="900000G")
    assert "disk resource limit alarm set" in stopped.said()
    channel = stopped.connect(blocked_connection_timeout=2).channel()
    channel.exchange_declare("tripod.jobs")
    channel.confirm_delivery()
    # What was read before the broker knew that this one publishes is taken.
    channel.basic_publish("tripod.jobs", "job", b"")
    with pytest.raises(pika.exceptions.ConnectionBlockedTimeout):
        channel.basic_publish("tripod.jobs", "job", b"")


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
        ({"MQ_DISK_FREE": "1T"}, "expected a number with K, M or G"),
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


def test_a_start_on_a_full_disk_is_refused_before_it_writes(stopped: Broker) -> None:
    # A file system in memory, of which a build has one.
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    assert free < 1 << 30, "this would take the machine's memory"
    with (place / "of somebody else").open("wb") as filled:
        os.posix_fallocate(filled.fileno(), 0, free - (8 << 20))
    try:
        said = stopped.refuse(RABBITMQ_MNESIA_BASE=str(place))
    finally:
        (place / "of somebody else").unlink()
    assert f"the file system of {place} has 8 MiB free, and a start takes 32" in said
    assert list(place.iterdir()) == []


def test_data_that_cannot_be_used_is_told_and_left_alone(stopped: Broker) -> None:
    place = DATA / "rabbit@localhost"
    place.mkdir(mode=0o500)
    assert f"{place} cannot be written by uid {os.getuid()}" in stopped.refuse()
    place.chmod(0o700)
    assert not (DATA / ".lock").exists()
