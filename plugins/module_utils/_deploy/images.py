# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Container images named after what goes into them, and the base they all start from."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Impossible, Invalid
from .._core.system import Host
from .contexts import digest_context

LABEL = "org.tripod.collection"
OWNER = "tripod.baremetal"
LOG_TAIL = 25  # lines of a failed build that the operator gets to see


class Engine:
    """The Docker Engine as the image resources need it, through Docker's own Python client.

    Args:
        client: A ``docker.APIClient``; None where no engine answers.
        trouble: Why there is no client, for the operator.
    """

    def __init__(self, client: Any, trouble: str = "") -> None:
        self.client = client
        self.trouble = trouble

    @classmethod
    def connect(cls) -> Engine:
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
        if self.client is None:
            return None
        from docker.errors import ImageNotFound

        try:
            return self.client.inspect_image(reference)["Id"]
        except ImageNotFound:
            return None


# --- the base ------------------------------------------------------------------------------------


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
        engine: Where it is kept.
        made_from: What it was made from in this call.
    """

    engine: Engine
    base: Base
    made_from: str = ""

    def read(self, host: Host) -> str | None:
        """Return the image's ID."""
        return self.engine.image_id(self.base.name)

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
        trouble = "not asked for"
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
            done = subprocess.run(
                ["mmdebstrap", "--variant=minbase", self.base.suite, archive],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode:
                raise ApplyFailed(f"mmdebstrap of {self.base.suite} failed ({done.returncode}):\n{_tail(done.stderr)}")
            repository, tag = self.base.name.rsplit(":", 1)
            client.import_image(
                src=archive, repository=repository, tag=tag, changes=['CMD ["/bin/bash"]', f"LABEL {LABEL}={OWNER}"]
            )


# --- what is built on it --------------------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """One image.

    Attributes:
        name: Repository, without tag.
        context: Directory of the build context.
        inputs: What else decides the result, such as the base image's ID; part of the digest.
        target: Stage to end with; the last where None.
        args: Build arguments.
        args_from: Build arguments whose value is the reference of another image of the list.
        extra_files: Name in the context to path on the builder.
        export_from: A file in the image that is wanted outside of it.
        export_to: Where to; ``{tag}`` stands for the image's tag.
    """

    name: str
    context: str
    inputs: Sequence[str] = ()
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    args_from: Mapping[str, str] = field(default_factory=dict)
    extra_files: Mapping[str, str] = field(default_factory=dict)
    export_from: str | None = None
    export_to: str | None = None


@dataclass(frozen=True)
class Named:
    """A build whose content was digested: its reference and where its export goes."""

    build: Build
    reference: str
    export_to: str | None


def name_builds(builds: Sequence[Build]) -> dict[str, Named]:
    """Return the builds by repository, each with a tag that is the digest of all that goes into it.

    Raises:
        Invalid: A context or extra file is missing, or a name is there twice; all reasons at once.
    """
    findings = Findings()
    named: dict[str, Named] = {}
    for index, build in enumerate(builds):
        where = f"images[{index}] ({build.name})"
        if build.name in named:
            findings.add(f"{where}: the name is there twice")
        if not Path(build.context, "Dockerfile").is_file():
            findings.add(f"{where}: no Dockerfile in {build.context}")
            continue
        missing = [path for path in build.extra_files.values() if not Path(path).is_file()]
        for path in missing:
            findings.add(f"{where}: {path} does not exist on the builder")
        if missing:
            continue
        for other in build.args_from.values():
            if other not in named:
                findings.add(f"{where}: needs {other}, which must come before it in the list")
        extra = [f"{name}={Path(path).read_bytes().hex()}" for name, path in sorted(build.extra_files.items())]
        tag = digest_context(build.context, [*build.inputs, *extra]).tag
        named[build.name] = Named(build, f"{build.name}:{tag}", build.export_to and build.export_to.format(tag=tag))
    findings.raise_if_any(Invalid, "images cannot be built")
    return named


@dataclass(frozen=True)
class ImageState:
    """IDs by reference (None where absent) and the exports that exist."""

    ids: Mapping[str, str | None]
    exported: frozenset[str]


class Images:
    """Resource: every image of the list exists, and so does each exported file.

    Args:
        engine: Where they are kept.
        named: From ``name_builds``.
        only: Repositories to build; all of the list where empty.
    """

    def __init__(self, engine: Engine, named: Mapping[str, Named], only: Sequence[str] = ()) -> None:
        self.engine = engine
        self.named = named
        self.only = frozenset(only or named)

    def read(self, host: Host) -> ImageState:
        """Return which images and exports are there."""
        ids = {item.reference: self.engine.image_id(item.reference) for item in self.named.values()}
        exports = (item.export_to for item in self.named.values())
        return ImageState(ids, frozenset(path for path in exports if path and host.exists(path)))

    def validate(self, desired: Any, state: ImageState) -> None:
        """Accept: the list was validated when it was named."""

    def plan(self, desired: Any, state: ImageState) -> list[Change]:
        """Return one step per missing image and per missing export."""
        changes = []
        for name, item in self.named.items():
            if name not in self.only:
                continue
            if state.ids[item.reference] is None:
                changes.append(Change(("image", name), None, item.reference))
            if item.export_to and item.export_to not in state.exported:
                changes.append(Change(("export", name), None, item.export_to))
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Build and export, in the list's order."""
        client = self.engine.require()
        from docker.errors import DockerException

        for change in changes:
            item = self.named[change.path[1]]
            try:
                if change.path[0] == "image":
                    self._build(client, item, build_limits(host))
                else:
                    _export(client, item, host)
            except DockerException as error:
                raise ApplyFailed(f"{change.path[0]} {item.reference}: the Docker Engine answers: {error}") from error

    def _build(self, client: Any, item: Named, limits: Mapping[str, str]) -> None:
        build = item.build
        arguments = {**build.args, **{key: self.named[name].reference for key, name in build.args_from.items()}}
        lines: list[str] = []
        with _context(build) as path:
            answers = client.build(
                path=path,
                tag=item.reference,
                buildargs=arguments,
                target=build.target or "",
                labels={LABEL: OWNER},
                network_mode="host",
                container_limits=dict(limits),
                rm=True,
                forcerm=True,
                decode=True,
            )
            for answer in answers:
                lines.append(answer.get("stream", "").rstrip())
                if "error" in answer:
                    shown = _tail("\n".join(line for line in lines if line))
                    raise ApplyFailed(f"building {item.reference} failed: {answer['error'].strip()}\n{shown}")


def build_limits(host: Host) -> dict[str, str]:
    """Keep the steps of a build off the CPUs that the builder's own plan isolates, if it has one."""
    plan = state_store.load(host, "cpu_isolation")
    return {"cpusetcpus": plan.body["housekeeping"]} if plan else {}


@contextmanager
def _context(build: Build) -> Iterator[str]:
    """Give the build's context, with its extra files, without writing into the source tree."""
    if not build.extra_files:
        yield build.context
        return
    with tempfile.TemporaryDirectory(prefix="tripod-context-") as directory:
        shutil.copytree(build.context, directory, dirs_exist_ok=True)
        for name, path in build.extra_files.items():
            shutil.copyfile(path, os.path.join(directory, name))
        yield directory


def _export(client: Any, item: Named, host: Host) -> None:
    """Copy a file out of an image by way of a container that never runs."""
    container = client.create_container(item.reference, command=["unused"])["Id"]
    try:
        chunks, _stat = client.get_archive(container, item.build.export_from)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            if member is None:
                raise ApplyFailed(f"{item.reference}: {item.build.export_from} is not a file")
            content = member.read()
    finally:
        client.remove_container(container)
    host.write_bytes_atomically(str(item.export_to), content)


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LOG_TAIL:])
