"""Flows sent by UDP to whoever listens on the loopback, or to nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.collector import Collector
from ansible_collections.tripod.baremetal.plugins.module_utils._samples.flows import Flow, Flows

from tests.integration import frames as f
from tests.support.exports import Collector as Reader
from tests.unit.plugins.module_utils.samples.made import sample

NOW = 1_764_000_000.0


def flows(count: int = 1) -> list[Flow]:
    held = Flows(count)
    for number in range(count):
        held.add(sample(f.ethernet(f.IPV4, f.ipv4(f"192.0.{number // 256}.{number % 256}"))))
    return held.take()


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET if request.param == "127.0.0.1" else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.bind((request.param, 0))
        made.settimeout(5)
        yield made


def test_flows_and_templates_arrive_as_messages_that_fit_the_path(listener):
    address, port = listener.getsockname()[:2]
    sender, reader = Collector(address, port, 9), Reader()
    sender.send(flows(100), NOW)
    while len(reader.records) < 100:
        message = listener.recv(65536)
        # The loopback takes 64 KiB; what lies behind it does not.
        assert len(message) <= 1452
        assert reader.take(message) == int(NOW)
    assert (sender.sent, sender.unsent, reader.unknown, reader.lost) == (100, 0, 0, {9: 0})
    sender.close()


def test_templates_come_again_after_a_while_and_not_before(listener):
    address, port = listener.getsockname()[:2]
    sender = Collector(address, port, 9)
    templates = []
    for seconds in (0, 30, 59, 60, 61, 120):
        sender.send(flows(), NOW + seconds)
        reader = Reader()
        reader.take(listener.recv(65536))
        templates.append(len(reader.templates))
    assert templates == [3, 0, 0, 3, 0, 3]
    sender.send([], NOW + 121)
    sender.send([], NOW + 200)
    reader = Reader()
    reader.take(listener.recv(65536))
    assert (len(reader.templates), reader.records) == (3, [])
    sender.close()


def test_a_collector_that_comes_back_is_sent_templates_at_once():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.bind(("127.0.0.1", 0))
        place: tuple[str, int] = first.getsockname()
        sender = Collector(*place, 9)
        sender.send(flows(), NOW)
    # Nobody is there: the kernel says so with the next datagram.
    sender.send(flows(), NOW + 1)
    sender.send(flows(), NOW + 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.bind(place)
        second.settimeout(5)
        sender.send(flows(), NOW + 3)
        reader = Reader()
        reader.take(second.recv(65536))
        assert len(reader.templates) == 3
        assert len(reader.records) == 1
    sender.close()


def test_a_name_is_refused():
    with pytest.raises(ValueError, match="collector"):
        Collector("collector.example.org", 4739, 0)
