# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""Container images named after what goes into them."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._core import state_store
from .._core.converge import ApplyFailed, Change, Findings, Invalid
from .._core.system import Host
from . import sbom
from .build_context import digest_context, packed
from .engine_client import LABEL, OWNER, EngineClient, log_tail

_SHORT_ID = 12
# What a builder prints after each step; a container that the step runs in is said to be running.
_STEP_IMAGE = re.compile(r"^ ---> ([0-9a-f]{12})$", re.MULTILINE)


@dataclass(frozen=True)
class Build:
    """One image.

    Attributes:
        name: Repository, without tag.
        context: Directory of the build context.
        inputs: What else decides the result, such as the base image's ID; part of the digest.
        inputs_from: Other images of the list whose content decides the result; their references are part of the digest.
        target: Stage to end with; the last where None.
        args: Build arguments.
        args_from: Build arguments whose value is the reference of another image of the list.
        extra_files: Name in the context to path on the builder.
        export_from: A file in the image that is needed outside of it.
        export_to: Where to; ``{tag}`` stands for the image's tag.
        sbom_to: Where the image's bill of materials goes, likewise.
    """

    name: str
    context: str
    inputs: Sequence[str] = ()
    inputs_from: Sequence[str] = ()
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    args_from: Mapping[str, str] = field(default_factory=dict)
    extra_files: Mapping[str, str] = field(default_factory=dict)
    export_from: str | None = None
    export_to: str | None = None
    sbom_to: str | None = None


@dataclass(frozen=True)
class Named:
    """A build whose content was digested: its reference, and where its export and its bill of materials go."""

    build: Build
    reference: str
    export_to: str | None
    sbom_to: str | None

    @property
    def files(self) -> dict[str, str]:
        """What is made of the image beside it: path by kind."""
        return {kind: path for kind, path in (("export", self.export_to), ("sbom", self.sbom_to)) if path}


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
        for other in {*build.args_from.values(), *build.inputs_from}:
            if other not in named:
                findings.add(f"{where}: needs {other}, which must come before it in the list")
        extra = [f"{name}={Path(path).read_bytes().hex()}" for name, path in sorted(build.extra_files.items())]
        # BASE is a name, and what it names is among the inputs.
        arguments = [f"{name}={value}" for name, value in sorted(build.args.items())]
        others = [named[other].reference for other in build.inputs_from if other in named]
        tag = digest_context(build.context, [*build.inputs, *others, *arguments, *extra]).tag
        paths = [path and path.format(tag=tag) for path in (build.export_to, build.sbom_to)]
        named[build.name] = Named(build, f"{build.name}:{tag}", *paths)
    findings.raise_if_any(Invalid, "images cannot be built")
    return named


@dataclass(frozen=True)
class ImageState:
    """IDs by reference (None where absent) and the files made of images that exist."""

    ids: Mapping[str, str | None]
    files: frozenset[str]


class Images:
    """Resource: every image of the list exists, and so does each file that is made of one.

    Args:
        engine: Where they are stored.
        named: From ``name_builds``.
        only: Repositories to build; all of the list where empty.
        keep_builders: Whether the stages that an image was built in stay, without a name, for the next build's sake.
    """

    def __init__(
        self,
        engine: EngineClient,
        named: Mapping[str, Named],
        only: Sequence[str] = (),
        keep_builders: bool = False,
    ) -> None:
        self.engine = engine
        self.named = named
        self.only = frozenset(only or named)
        self.keep_builders = keep_builders

    def read(self, host: Host) -> ImageState:
        """Return which images, and which files made of them, are there."""
        ids = {item.reference: self.engine.image_id(item.reference) for item in self.named.values()}
        paths = (path for item in self.named.values() for path in item.files.values())
        return ImageState(ids, frozenset(path for path in paths if host.exists(path)))

    def validate(self, desired: Any, state: ImageState) -> None:
        """Accept: the list was validated when it was named."""

    def plan(self, desired: Any, state: ImageState) -> list[Change]:
        """Return one step per missing image and per missing file."""
        changes = []
        for name, item in self.named.items():
            if name not in self.only:
                continue
            if state.ids[item.reference] is None:
                changes.append(Change(("image", name), None, item.reference))
            missing = {kind: path for kind, path in item.files.items() if path not in state.files}
            changes += [Change((kind, name), None, path) for kind, path in missing.items()]
        return changes

    def apply(self, host: Host, changes: Sequence[Change]) -> None:
        """Build, and make the files, in the list's order."""
        client = self.engine.require()
        from docker.errors import DockerException

        for change in changes:
            item = self.named[change.path[1]]
            try:
                if change.path[0] == "image":
                    self._build_and_tidy(client, item, build_limits(host))
                elif change.path[0] == "export":
                    _export(client, item, host)
                else:
                    _write_sbom(client, item, host)
            except DockerException as error:
                raise ApplyFailed(f"{change.path[0]} {item.reference}: the Docker Engine answers: {error}") from error

    def _build_and_tidy(self, client: Any, item: Named, limits: Mapping[str, str]) -> None:
        if self.keep_builders:
            self._build(client, item, limits, [])
            return
        before = frozenset(client.images(quiet=True, all=True))
        lines: list[str] = []
        try:
            self._build(client, item, limits, lines)
        finally:
            _remove_builders(client, before, lines)

    def _build(self, client: Any, item: Named, limits: Mapping[str, str], lines: list[str]) -> None:
        build = item.build
        arguments = {**build.args, **{key: self.named[name].reference for key, name in build.args_from.items()}}
        with packed(build.context, build.extra_files) as archive:
            answers = client.build(
                fileobj=archive,
                custom_context=True,
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
                    shown = log_tail("\n".join(line for line in lines if line))
                    raise ApplyFailed(f"building {item.reference} failed: {answer['error'].strip()}\n{shown}")


def _remove_builders(client: Any, before: Collection[str], lines: Sequence[str]) -> None:
    """Remove the images without a name that a build has made: the last of each stage but the one that it was for.

    Only what the build itself named in its output, and what was not there before it: somebody else's builds, which may
    run meanwhile, are left alone, and so is what a container was made from.
    """
    from docker.errors import APIError

    made = {match[1] for line in lines for match in _STEP_IMAGE.finditer(line)}
    for image in client.images(quiet=True, filters={"dangling": True}):
        if image not in before and image.partition(":")[2][:_SHORT_ID] in made:
            with suppress(APIError):
                client.remove_image(image)


def build_limits(host: Host) -> dict[str, str]:
    """Return what holds the steps of a build off the CPUs that the builder's own plan isolates, if it has one."""
    plan = state_store.load(host, "cpu_isolation")
    # A run that was cut has saved original values and no plan yet.
    return {"cpusetcpus": plan.body["housekeeping"]} if plan and "housekeeping" in plan.body else {}


def _export(client: Any, item: Named, host: Host) -> None:
    """Copy a file out of an image."""
    with _unstarted(client, item.reference) as container:
        chunks, _stat = client.get_archive(container, item.build.export_from)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(archive.getmembers()[0])
            if member is None:
                raise ApplyFailed(f"{item.reference}: {item.build.export_from} is not a file")
            content = member.read()
    host.write_bytes_atomically(str(item.export_to), content)


def _write_sbom(client: Any, item: Named, host: Host) -> None:
    """Write what an image is made of."""
    with _unstarted(client, item.reference) as container, tempfile.TemporaryFile(prefix="tripod-image-") as archive:
        for chunk in client.export(container):
            archive.write(chunk)
        archive.seek(0)
        contained = sbom.components(archive)
    image = client.inspect_image(item.reference)
    document = sbom.document(item.reference, image["Id"], image["Created"], contained)
    host.write_bytes_atomically(str(item.sbom_to), (json.dumps(document, indent=1) + "\n").encode())


@contextmanager
def _unstarted(client: Any, reference: str) -> Iterator[str]:
    """Yield a container of an image that never runs: the engine hands out an image's files by one."""
    container = client.create_container(reference, command=["unused"])["Id"]
    try:
        yield container
    finally:
        client.remove_container(container)
