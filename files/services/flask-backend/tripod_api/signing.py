"""Access tokens: signed with the first key of the file, whose name they bear, and taken from the keys before it, too.

A key is replaced without anybody's noticing: tokens that were signed with the one before are good until they end. That
key signs nothing any more, so what it has signed after this process began is a forgery.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

import jwt

from .config import Settings

ISSUER = "tripod"
AUDIENCE = "tripod-api"
ALGORITHM = "HS256"
CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]
LEEWAY = 5  # seconds between the clocks of those who issue and those who check
NAME_DIGITS = 16


def name_of(key: str) -> str:
    """Return what a key is called in the header of a token (`kid`), which tells nothing of the key."""
    return hmac.digest(key.encode(), b"kid", "sha256").hex()[:NAME_DIGITS]


class Signer:
    """Signs claims, and reads them.

    Args:
        settings: Have the keys, and how long a token lives.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = {name_of(key): key for key in settings.jwt_secrets}
        self._current = name_of(settings.jwt_secret)
        self._life = settings.access_ttl
        self._began = int(time.time())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token that is good from now on, for as long as tokens live."""
        issued = int(time.time())
        whole = {"iss": ISSUER, "aud": AUDIENCE, **claims, "iat": issued, "exp": issued + self._life}
        return jwt.encode(whole, self._keys[self._current], ALGORITHM, headers={"kid": self._current})

    def read(self, token: str) -> dict[str, Any]:
        """Return what a token claims.

        Raises:
            jwt.InvalidTokenError: It is none of ours, or has ended.
            Exception: Whatever else the library makes of a caller's bytes.
        """
        # One without a name is of the release before names.
        name = jwt.get_unverified_header(token).get("kid", self._current)
        key = self._keys.get(name)
        if key is None:
            raise jwt.InvalidTokenError("kid")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=LEEWAY,
            options={"require": CLAIMS},
        )
        if name != self._current:
            issued = int(claims["iat"])
            if issued > self._began + LEEWAY or int(claims["exp"]) - issued > self._life:
                raise jwt.InvalidTokenError("iat")
        return claims
