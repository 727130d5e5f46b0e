"""TLS on the port that also serves plain HTTP: the first byte that a client sends tells which one it speaks.

So whoever comes by the network of the containers, or the front on the host, knows whom it talks to, and the health
check within the container needs no certificate. The certificate is read again for each connection, so that a renewal
costs none.
"""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress

from .identity import Identity, Unusable

logger = logging.getLogger(__name__)

# The first byte of a handshake (RFC 8446, section 5.1), with which no request begins.
HANDSHAKE = b"\x16"

# Nothing to read yet. A server that is about to write more than fits waits for the client likewise, which reads.
WAITS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def opened(client: socket.socket, identity: Identity) -> socket.socket:
    """Return the socket to go on with, of which nothing was read yet: within TLS where the client begins so.

    Raises:
        BlockingIOError: It sent nothing so far.
        OSError: There is no certificate to answer with, or the connection is gone.
    """
    if client.recv(1, socket.MSG_PEEK) != HANDSHAKE:
        return client
    try:
        context = identity.held().server
    except Unusable as error:
        logger.error("TLS cannot be served: %s", error)  # noqa: TRY400  (a traceback says no more than the message)
        raise ConnectionAbortedError(str(error)) from None
    # The handshake is part of the first reading, which waits for nobody.
    return context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)


def part(client: socket.socket) -> None:
    """Tell a client within TLS that nothing follows; else it could not know whether somebody cut the connection."""
    if isinstance(client, ssl.SSLSocket):
        with suppress(OSError, ValueError):
            client.unwrap()
