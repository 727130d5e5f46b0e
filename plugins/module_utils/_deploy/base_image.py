# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The image that all others start from, pulled or made from Debian packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._core import commands
from .._core.converge import ApplyFailed, Change, Impossible
from .._core.system import Host
from .engine_client import LABEL, OWNER, EngineClient, log_tail

# As debian:stable-slim has them: dpkg leaves these out of whatever is installed later, too. Licences stay.
LEFT_OUT = ("doc", "groff", "info", "lintian", "locale", "man")
KEPT = ("doc/*/copyright", "locale/locale.alias")
OPTIONS = (
    "--variant=minbase",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
    *(f"--dpkgopt=path-include=/usr/share/{name}" for name in KEPT),
)
RECIPE_LABEL = "org.tripod.recipe"
RECIPE = hashlib.sha256("\n".join(OPTIONS).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Base:
    """The image that all others are made from.

    Attributes:
        name: Name to give it here, with tag.
        upstream: Reference to pull.
        source: ``auto``, ``registry`` or ``debian``.
        suite: Debian suite to make it from.
    """

    name: str
    upstream: str
    source: str
    suite: str


@dataclass
class BaseImage:
    """Resource: the base image exists, pulled or made from Debian packages.

    Attributes:
        engine: Where it is stored.
        made_from: What it was made from in this call.
    """

    engine: EngineClient
    base: Base
    made_from: str = ""

    def read(self, host: Host) -> str | None:
        """Return the image's ID; None where it was made of packages in another way than it is now."""
        labels = self.engine.labels(self.base.name)
        made_otherwise = labels.get(LABEL) == OWNER and labels.get(RECIPE_LABEL) != RECIPE
        return None if made_otherwise else self.engine.image_id(self.base.name)

    def validate(self, desired: Base, state: str | None) -> None:
        """Raise where the base has to be made from packages and the tool for it is missing."""
        if (
            state is None
            and desired.source == "debian"
            and self.engine.client is not None
            and not shutil.which("mmdebstrap")
        ):
            raise Impossible(
                "mmdebstrap is not installed on the builder; install it, or set images_base_source to registry"
            )

    def plan(self, desired: Base, state: str | None) -> list[Change]:
        """Return the one step, where the image is not there."""
        return [] if state else [Change(("base", desired.name), None, desired.upstream)]

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Pull the base, or make it."""
        client = self.engine.require()
        trouble = "not requested"
        if self.base.source != "debian":
            trouble = self._pull(client)
            if not trouble:
                self.made_from = "registry"
                return
            if self.base.source == "registry":
                raise ApplyFailed(
                    f"cannot pull {self.base.upstream}: {trouble}; "
                    "set images_base_source to debian to make it from packages"
                )
        if not shutil.which("mmdebstrap"):
            raise ApplyFailed(
                f"cannot pull {self.base.upstream} ({trouble}) and mmdebstrap is not installed to make it from packages"
            )
        self._bootstrap(client)
        self.made_from = "debian"

    def _pull(self, client: Any) -> str:
        from docker.errors import APIError

        try:
            client.pull(self.base.upstream)
        except APIError as error:
            return str(error.explanation or error)
        repository, tag = self.base.name.rsplit(":", 1)
        client.tag(self.base.upstream, repository, tag)
        return ""

    def _bootstrap(self, client: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="tripod-base-") as directory:
            archive = os.path.join(directory, "root.tar")
            # One fixed time stamp makes the archive, and so the image's ID, depend on the packages alone.
            environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "LC_ALL": "C.UTF-8"}
            done = commands.run(["mmdebstrap", *OPTIONS, self.base.suite, archive], environment)
            if done.returncode:
                raise ApplyFailed(
                    f"mmdebstrap of {self.base.suite} failed ({done.returncode}):\n{log_tail(done.stderr)}"
                )
            repository, tag = self.base.name.rsplit(":", 1)
            client.import_image(
                src=archive,
                repository=repository,
                tag=tag,
                changes=['CMD ["/bin/bash"]', f"LABEL {LABEL}={OWNER} {RECIPE_LABEL}={RECIPE}"],
            )
