"""Images named after their content."""

from __future__ import annotations

import sys
import types

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible, Invalid, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.engine_client import EngineClient
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.image_build import (
    Build,
    Images,
    ImageState,
    _remove_builders,
    build_limits,
    name_builds,
)


@pytest.fixture
def context(tmp_path):
    def make(name, dockerfile="FROM scratch\n"):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        (directory / "Dockerfile").write_text(dockerfile)
        return str(directory)

    return make


def tag(builds, name):
    return name_builds(builds)[name].reference


def test_same_content_same_name(context):
    builds = [Build("app/web", context("web"), inputs=["sha256:1"])]
    assert tag(builds, "app/web") == tag(builds, "app/web")


def test_every_input_gives_another_name(context, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("one")
    plain = tag([Build("app/web", context("web"))], "app/web")
    based = tag([Build("app/web", context("web"), inputs=["sha256:1"])], "app/web")
    bundled = tag([Build("app/web", context("web"), extra_files={"ca.pem": str(bundle)})], "app/web")
    bundle.write_text("two")
    rebundled = tag([Build("app/web", context("web"), extra_files={"ca.pem": str(bundle)})], "app/web")
    argued = tag([Build("app/web", context("web"), args={"SERVICE_UID": "561"})], "app/web")
    other = tag([Build("app/web", context("web"), args={"SERVICE_UID": "562"})], "app/web")
    changed = tag([Build("app/web", context("web", "FROM scratch\nUSER 1\n"))], "app/web")
    assert len({plain, based, bundled, rebundled, changed, argued, other}) == 7


def test_an_image_gets_another_name_with_the_image_that_it_runs_on(context):
    def name(dockerfile, **options):
        return tag(
            [Build("app/base", context("base", dockerfile)), Build("app/web", context("web"), **options)], "app/web"
        )

    on_it = {"args_from": {"BASE": "app/base"}, "inputs_from": ["app/base"]}
    assert name("FROM a\n", **on_it) != name("FROM b\n", **on_it)
    beside = {"args_from": {"BUILD_BASE": "app/base"}}
    assert name("FROM a\n", **beside) == name("FROM b\n", **beside)


def test_every_reason_comes_at_once(context, tmp_path):
    builds = [
        Build("app/a", str(tmp_path / "nowhere")),
        Build("app/b", context("b"), extra_files={"x": "/nonexistent/x"}),
        Build("app/c", context("c"), args_from={"BASE": "app/later"}),
        Build("app/c", context("c")),
        Build("app/d", context("d"), inputs_from=["app/latest"]),
    ]
    with pytest.raises(Invalid) as caught:
        name_builds(builds)
    for words in ("no Dockerfile", "/nonexistent/x", "app/later, which must come before", "app/latest, which", "twice"):
        assert words in str(caught.value)


def test_plans_what_is_missing_and_requested(context):
    named = name_builds(
        [
            Build("app/web", context("web"), sbom_to="/cache/web-{tag}.json"),
            Build("app/bpf", context("bpf"), export_from="/o", export_to="/cache/{tag}.o"),
        ]
    )
    web, bpf = named["app/web"].reference, named["app/bpf"].reference
    images = Images(EngineClient(None), named)

    def plan(state, only=()):
        return [change.path for change in Images(EngineClient(None), named, only).plan(None, state)]

    nothing = ImageState({web: None, bpf: None}, frozenset())
    of_web, of_bpf = [("image", "app/web"), ("sbom", "app/web")], [("image", "app/bpf"), ("export", "app/bpf")]
    assert plan(nothing) == of_web + of_bpf
    assert plan(nothing, ["app/web"]) == of_web
    built = ImageState({web: "sha256:1", bpf: "sha256:2"}, frozenset())
    assert plan(built) == [of_web[1], of_bpf[1]]
    done = ImageState(built.ids, frozenset([named["app/bpf"].export_to, f"/cache/web-{web.partition(':')[2]}.json"]))
    assert images.plan(None, done) == []


def test_without_an_engine_it_plans_and_does_not_build(context, tmp_path):
    named = name_builds([Build("app/web", context("web"))])
    images = Images(EngineClient(None, "no Docker Engine answers: gone"), named)
    assert converge(images, None, Host(tmp_path), check=True).changed
    with pytest.raises(Impossible, match=r"no Docker Engine answers: gone.*docker_engine"):
        converge(images, None, Host(tmp_path))


def test_a_build_keeps_to_the_housekeeping_cpus_of_a_builder_with_a_plan(tmp_path):
    host = Host(tmp_path)
    assert build_limits(host) == {}
    state_store.store(host, state_store.StateFile("cpu_isolation", "cpu_isolation", {"housekeeping": "0-1,8"}))
    assert build_limits(host) == {"cpusetcpus": "0-1,8"}


OUTPUT = """\
Step 1/4 : FROM tripod/build-base:1 AS builder
 ---> aaaaaaaaaaaa
Step 2/4 : RUN make
 ---> Running in 123456789012
Removing intermediate container 123456789012
 ---> bbbbbbbbbbbb
Step 3/4 : FROM scratch
 --->{blank}
Step 4/4 : COPY --from=builder /a /a
 ---> cccccccccccc
Successfully built cccccccccccc
""".replace("{blank}", " ")


class Engine:
    """What is asked of an engine when a build is tidied up after; recorded from Docker 20.10."""

    def __init__(self, dangling):
        self.dangling, self.removed = [f"sha256:{one * 64}" for one in dangling], []

    def images(self, quiet, all=False, filters=None):
        assert quiet
        assert filters == {"dangling": True}
        return self.dangling

    def remove_image(self, image):
        self.removed.append(image[7])


def test_the_stages_that_a_build_made_are_removed_and_no_others(monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", types.ModuleType("docker"))
    errors = types.ModuleType("docker.errors")
    errors.__dict__["APIError"] = OSError
    monkeypatch.setitem(sys.modules, "docker.errors", errors)
    lines = [line.rstrip() for line in OUTPUT.splitlines()]
    # d is of somebody's build that runs meanwhile, and 1 the container that a step ran in.
    engine = Engine("abd1")
    _remove_builders(engine, {f"sha256:{'a' * 64}"}, lines)
    assert engine.removed == ["b"]
