"""Who the client is, and how long it has been connected, where a proxy in front says so.

The front on this host is known by a secret, as everybody there comes from its address. Of others,
`X-Forwarded-For` is believed of the peer only where its address is a trusted proxy's, and of each further hop likewise,
read from the right: what a client wrote itself stands to the left of what the trusted ones added. `X-Connection-Age`,
the seconds since the client's connection was made, is believed of the front and of a trusted peer.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# When the server accepted the connection of a request (Unix time); one that does not say has one for each request.
ACCEPTED: ContextVar[float | None] = ContextVar("accepted", default=None)
# In a request's environ: when the client's connection was made (Unix time).
CONNECTED = "tripod.connected"
# Likewise, what the front on this host is known by.
FRONT = "HTTP_X_FRONT_SECRET"

# With a port, as some proxies write it.
WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+))(?::[0-9]+)?")


@dataclass(frozen=True)
class Trust:
    """Addresses of trusted proxies: within a network of the first list, and of none of the second."""

    networks: tuple[Network, ...] = ()
    exceptions: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Trust:
        """Read `network,network,!exception`.

        Raises:
            ValueError: One of them is no address and no network; the message names it.
        """
        networks: list[Network] = []
        exceptions: list[Network] = []
        for word in filter(None, (word.strip() for word in text.split(","))):
            bare = word.removeprefix("!")
            # ip_network takes "1" for 0.0.0.1/32.
            if not re.search(r"[.:]", bare):
                raise ValueError(f"{word!r} is no address and no network")
            (exceptions if word.startswith("!") else networks).append(ipaddress.ip_network(bare, strict=False))
        return cls(tuple(networks), tuple(exceptions))

    def __contains__(self, address: Address) -> bool:
        """Tell whether the proxy at an address is believed."""
        return _within(address, self.networks) and not _within(address, self.exceptions)

    def client(self, peer: str, forwarded: Sequence[str], known: bool = False) -> str:
        """Return the client's address.

        Args:
            peer: Address of the connection's other end.
            forwarded: The values of X-Forwarded-For, in the order in which they came.
            known: Whether the peer is trusted whatever its address.
        """
        address = _read(peer)
        if address is None:
            return peer
        hops = [hop for value in forwarded for hop in value.split(",")]
        while hops and (known or address in self):
            known, further = False, _read(hops.pop())
            if further is None:
                break
            address = further
        return str(address)

    def connected(self, peer: str, accepted: float, age: str | None, known: bool = False) -> float:
        """Return when the client's connection was made (Unix time), later by what the proxy took to connect.

        Args:
            peer: Address of the connection's other end.
            accepted: When that connection was accepted (Unix time).
            age: The value of X-Connection-Age: how old the client's connection was when the proxy made this one (s).
            known: Whether the peer is trusted whatever its address.
        """
        address = _read(peer)
        try:
            seconds = float(age or 0)
        except ValueError:
            seconds = math.nan
        trusted = known or (address is not None and address in self)
        if not trusted or not 0 <= seconds < math.inf:
            return accepted
        return accepted - seconds


class ClientAddress:
    """WSGI middleware: REMOTE_ADDR becomes the client's, and CONNECTED says since when it is there."""

    def __init__(self, app: Callable[..., Iterable[bytes]], trust: Trust, secret: str | None = None) -> None:
        self._app = app
        self._trust = trust
        self._secret = secret.encode() if secret is not None else None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve a request."""
        forwarded = environ.get("HTTP_X_FORWARDED_FOR")
        peer = environ.get("REMOTE_ADDR", "")
        accepted = ACCEPTED.get() or time.time()
        given = environ.pop(FRONT, "")
        known = self._secret is not None and hmac.compare_digest(given.encode(), self._secret)
        environ[CONNECTED] = self._trust.connected(peer, accepted, environ.get("HTTP_X_CONNECTION_AGE"), known)
        environ["REMOTE_ADDR"] = self._trust.client(peer, [forwarded] if forwarded else [], known)
        return self._app(environ, start_response)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


# Most requests come from a few addresses.
@lru_cache(maxsize=1024)
def _read(text: str) -> Address | None:
    # A zone, as in fe80::1%eth0, is a name within the host that wrote it.
    text = text.strip().partition("%")[0]
    found = WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((found[1] or found[2]) if found else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
