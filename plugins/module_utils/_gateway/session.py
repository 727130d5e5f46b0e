# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Who asks: a token, or somebody who logs in, and again once a token is refused.

A token lives for half an hour, and its answer says an hour: so only a refusal ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._core.converge import CoreError, Invalid, Refused
from .http import Http, Reply

API = "/api/v1"
LIMITED_TRIES, LIMITED_SECONDS = 5, 60.0  # of a server that answers 429


@dataclass(frozen=True)
class Credentials:
    """What the server knows the caller by; none of it is ever shown.

    Attributes:
        cluster_key: The key of a cluster: for whole imports, and to read a cluster's configuration.
        token: An access token, which the caller got somewhere.
        username: Who logs in, where there is no token or it is refused.
        password: Of that user.
        totp_code: The six digits of a second factor, where that user has one.
    """

    cluster_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    totp_code: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("cluster_key", "token"):
            secret = getattr(self, name)
            if secret is not None and not (secret.isascii() and secret.isprintable() and " " not in secret):
                raise Invalid(
                    f"{name} holds a space, a control character or one that is not ASCII; it is not repeated here"
                )

    @property
    def secrets(self) -> list[str]:
        """All that must not be shown."""
        return [secret for secret in (self.cluster_key, self.token, self.password, self.totp_code) if secret]

    @property
    def can_log_in(self) -> bool:
        """Whether a user is given."""
        return bool(self.username and self.password)


class Session:
    """Requests of somebody.

    Args:
        http: The way to the server.
        credentials: Who asks.
        wait: Sleeps for some seconds.
    """

    def __init__(self, http: Http, credentials: Credentials, wait: Callable[[float], None] = time.sleep) -> None:
        self.http, self.credentials, self._wait = http, credentials, wait
        self._token = credentials.token

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """Send a request below the API as the user, and return its answer whatever it is.

        Raises:
            Refused: The server does not know the user, or wants a second factor.
            Unanswered: No answer came in time.
        """
        fresh = self._token is None
        reply = self._sent(method, path, body)
        if reply.status == 401 and self.credentials.can_log_in and not fresh:
            self._token = None
            reply = self._sent(method, path, body)
        if reply.status in (401, 403) and self._is_about_the_user(reply):
            raise Refused(
                f"{method} {API}{path}: the server refuses the token ({self.http.reason(reply)}); it lives for thirty "
                "minutes, whatever it says: give a new one, or username and password"
            )
        return reply

    def ask_with_key(self, method: str, path: str, body: Any = None) -> Reply:
        """Send a request of the documented API, which the cluster's key is the bearer token of."""
        key = self.credentials.cluster_key
        return self._patient(method, path, body, {"Authorization": f"Bearer {key}"} if key else {})

    def ask_as_proxy(self, path: str) -> Reply:
        """Read what a cluster's proxies read, with their key."""
        return self._patient("GET", path, None, {"Cluster-API-Key": self.credentials.cluster_key or ""})

    @staticmethod
    def _is_about_the_user(reply: Reply) -> bool:
        # 403 without a header, which a proxy before the server may have taken away; others are about a cluster.
        detail = reply.body.get("detail") if isinstance(reply.body, Mapping) else None
        return reply.status == 401 or detail == "Not authenticated"

    def _sent(self, method: str, path: str, body: Any) -> Reply:
        if self._token is None:
            self._token = self._logged_in()
        return self._patient(method, path, body, {"Authorization": f"Bearer {self._token}"})

    def _patient(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Reply:
        """Wait where the server limits its clients; a request that it answers so was not carried out."""
        for _try in range(LIMITED_TRIES):
            reply = self.http.send(method, API + path, body, headers)
            if reply.status != 429:
                return reply
            self._wait(min(reply.retry_after or 1.0, LIMITED_SECONDS))
        return reply

    def _logged_in(self) -> str:
        who = self.credentials
        if not who.can_log_in:
            raise Refused(
                "this server wants a user for single services: give a token, or username and password (its cluster key "
                "is for whole imports, which this server does not have)"
            )
        body = {"username": who.username, "password": who.password}
        if who.totp_code:
            body["totp_code"] = who.totp_code
        reply = self._patient("POST", "/auth/login", body, {})
        answer = reply.body if isinstance(reply.body, Mapping) else {}
        token = answer.get("access_token")
        if reply.succeeded and answer.get("requires_2fa"):
            raise Refused(f"login of '{who.username}': a second factor is required: give its six digits as totp_code")
        if not reply.succeeded or not isinstance(token, str) or not token:
            raise Refused(f"login of '{who.username}': {self.http.reason(reply)}")
        self.http.hide(token, answer.get("refresh_token"))
        return token


class Failed(CoreError):
    """The server answered a request as it should not have.

    Attributes:
        reply: The answer.
    """

    def __init__(self, what: str, session: Session, reply: Reply) -> None:
        super().__init__(f"{what}: {session.http.reason(reply)}")
        self.reply = reply


def listed(session: Session, path: str, key: str) -> list[Mapping[str, Any]]:
    """Return the entries of an answer such as ``{"clusters": [...]}``."""
    reply = session.ask("GET", path)
    entries = reply.body.get(key) if isinstance(reply.body, Mapping) else None
    if reply.status != 200 or not isinstance(entries, list):
        raise Failed(f"GET {API}{path}", session, reply)
    return [entry for entry in entries if isinstance(entry, Mapping)]
