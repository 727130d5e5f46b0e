"""Who comes in: clients with a certificate of the site, for a name that has an account; and no renewal is noticed."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pika
import pytest
from authority import Authority, serial
from broker import Broker, consume, publish

# What a client sees of a refusal, of TLS or of its account.
REFUSED = (pika.exceptions.AMQPError, ssl.SSLError, OSError)
# It looks for newer files each second, and a file's time is in whole seconds.
KNOWN_SECONDS = 4
LONG_AGO = ("-not_before", "20200101000000Z", "-not_after", "20200201000000Z")


@contextmanager
def logs(broker: Broker, words: str) -> Iterator[None]:
    """Expect that the broker logs these words meanwhile."""
    begin = len(broker.said())
    yield
    deadline = time.monotonic() + 10
    while words not in broker.said()[begin:]:
        assert time.monotonic() < deadline, broker.said()[begin:]
        time.sleep(0.1)


def test_who_is_known_publishes_and_consumes(broker: Broker) -> None:
    with broker.channel() as channel:
        for number in range(20):
            publish(channel, str(number))
        assert consume(channel) == [str(number) for number in range(20)]


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("another authority's", "Unknown CA"),
        ("one that has ended", "Certificate Expired"),
        ("nobody's", "Certificate required"),
        ("a service's without an account", "EXTERNAL login refused: user 'postgres' - invalid credentials"),
    ],
)
def test_a_certificate_that_lets_nobody_in_is_refused_with_the_reason(
    broker: Broker, tmp_path: Path, who: str, reason: str
) -> None:
    place = tmp_path / "client"
    if who == "another authority's":
        place = Authority(tmp_path, "second").issue("connector")
    elif who == "one that has ended":
        place = broker.authority.issue("ended", "connector", LONG_AGO)
    elif who == "nobody's":
        place.mkdir()
    else:
        place = broker.authority.issue("postgres")
    (place / "ca.crt").write_bytes(broker.authority.certificate.read_bytes())
    with logs(broker, reason), pytest.raises(REFUSED):
        broker.connect(place)


def test_a_password_is_no_way_in(broker: Broker) -> None:
    for user, password in (("guest", "guest"), ("connector", "")):
        with pytest.raises(pika.exceptions.AMQPError):
            broker.connect(credentials=pika.PlainCredentials(user, password))


def test_a_client_that_asks_for_another_name_does_not_take_the_broker(broker: Broker) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'postgres'"):
        broker.connect(name="postgres")


def test_what_speaks_no_tls_gets_no_word(broker: Broker) -> None:
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as plain:
        plain.sendall(b"AMQP\x00\x00\x09\x01")
        answer = b""
        with suppress(ConnectionError):
            answer = plain.recv(100)
    # At most an alert of TLS.
    assert b"AMQP" not in answer
    assert len(answer) <= 7
    context = ssl.create_default_context(cafile=str(broker.client / "ca.crt"))
    context.load_cert_chain(broker.client / "tls.crt", broker.client / "tls.key")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=10) as older,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(older, server_hostname="rabbitmq")


class Load(threading.Thread):
    """Somebody who publishes on one connection, and somebody who comes by a new one each time.

    Attributes:
        confirmed: What was published and confirmed.
        failures: What went wrong.
    """

    def __init__(self, broker: Broker) -> None:
        super().__init__(daemon=True)
        self.confirmed: list[str] = []
        self.failures: list[BaseException] = []
        self.new = 0
        self._broker = broker
        self._over = threading.Event()

    def run(self) -> None:
        try:
            with self._broker.channel() as channel:
                while not self._over.is_set():
                    for _each in range(20):
                        self._publish(channel)
                    with self._broker.channel() as another:
                        self._publish(another)
                    self.new += 1
        except BaseException as error:
            self.failures.append(error)

    def _publish(self, channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
        body = f"load {len(self.confirmed)}"
        publish(channel, body)
        self.confirmed.append(body)

    def wait(self) -> None:
        """Return once connections were made that began after this moment."""
        seen = self.new
        deadline = time.monotonic() + 30
        while self.new < seen + 3:
            assert not self.failures, self.failures
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        self._over.set()
        self.join(30)
        assert self.failures == []


def shown(broker: Broker) -> str:
    """Return the number of the certificate that the broker shows to a new connection."""
    context = ssl.create_default_context(cafile=str(broker.client / "ca.crt"))
    context.load_cert_chain(broker.client / "tls.crt", broker.client / "tls.key")
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="rabbitmq") as secured,
    ):
        told = secured.getpeercert()
        assert told
        return str(told["serialNumber"])


def known(broker: Broker) -> None:
    """Return once the broker shows the certificate that is in its directory."""
    deadline = time.monotonic() + KNOWN_SECONDS
    while shown(broker) != serial(broker.secrets):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def put(place: Path, *authorities: Authority) -> None:
    """Have a service trust these, as the role does it: by a rename."""
    (place / "new").write_text("".join(one.certificate.read_text() for one in authorities))
    (place / "new").rename(place / "ca.crt")


def test_a_renewal_and_another_authority_are_soon_known_and_no_message_fails(broker: Broker, tmp_path: Path) -> None:
    load = Load(broker)
    load.start()
    load.wait()
    for _time in range(3):
        broker.authority.renew(broker.secrets, "rabbitmq")
        load.wait()
        known(broker)
    former, latter = broker.authority, Authority(tmp_path, "second")
    for place in (broker.secrets, broker.client):
        put(place, former, latter)
    load.wait()
    time.sleep(KNOWN_SECONDS)
    for place, service in ((broker.secrets, "rabbitmq"), (broker.client, "connector")):
        (place / "extensions").rename(latter.place / "extensions")
        (latter.place / "extensions").rename(place / "extensions")
        latter.renew(place, service)
        load.wait()
    known(broker)
    for place in (broker.secrets, broker.client):
        put(place, latter)
    load.wait()
    time.sleep(KNOWN_SECONDS)
    of_former = former.issue("former", "connector")
    put(of_former, latter)
    with logs(broker, "Unknown CA"), pytest.raises(REFUSED):
        broker.connect(of_former)
    load.stop()
    with broker.channel() as channel:
        assert sorted(consume(channel)) == sorted(load.confirmed)
    broker.authority = latter
