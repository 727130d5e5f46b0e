# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The Docker Engine through Docker's own Python client, as building images needs it."""

from __future__ import annotations

from typing import Any

from .._core.converge import Impossible

LABEL = "org.tripod.collection"
OWNER = "tripod.baremetal"
LOG_TAIL = 25  # lines of a failed build that the operator gets to see


class EngineClient:
    """The engine, answering or not.

    Args:
        client: A ``docker.APIClient``; None where no engine answers.
        trouble: Why there is no client, for the operator.
    """

    def __init__(self, client: Any, trouble: str = "") -> None:
        self.client = client
        self.trouble = trouble

    @classmethod
    def connect(cls) -> EngineClient:
        """Return the engine of this machine, answering or not."""
        try:
            import docker
        except ImportError:
            return cls(None, "Docker's Python client is missing (Debian: python3-docker)")
        try:
            # A build may be silent for minutes while a compiler works.
            client = docker.APIClient(version="auto", timeout=1800, **docker.utils.kwargs_from_env())
            client.ping()
        except docker.errors.DockerException as error:
            return cls(None, f"no Docker Engine answers: {error}")
        return cls(client)

    def require(self) -> Any:
        """Return the client.

        Raises:
            Impossible: No engine answers.
        """
        if self.client is None:
            raise Impossible(
                f"{self.trouble}; install and start it (role tripod.baremetal.docker_engine), then run again"
            )
        return self.client

    def image_id(self, reference: str) -> str | None:
        """Return the ID of an image by its reference, or None."""
        facts = self._inspected(reference)
        return facts["Id"] if facts else None

    def labels(self, reference: str) -> dict[str, str]:
        """Return the labels of an image by its reference; none where it is absent."""
        facts = self._inspected(reference)
        return (facts["Config"].get("Labels") or {}) if facts else {}

    def _inspected(self, reference: str) -> dict[str, Any] | None:
        if self.client is None:
            return None
        from docker.errors import ImageNotFound

        try:
            return self.client.inspect_image(reference)
        except ImageNotFound:
            return None


def log_tail(text: str) -> str:
    """Return the last lines of a build's output."""
    return "\n".join(text.strip().splitlines()[-LOG_TAIL:])
