"""Every stage of ``make test``: what it runs and what must have gone well before."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import arm64, compose, containers, cores, emulator, engine, pages, results
from . import sanity as ansible_test
from .collection import build, export, link_dependencies
from .console import Failure, duration
from .paths import CACHE, COLLECTIONS, ROOT, VENV, environment
from .run import CommandFailed, as_root, logged
from .vm import base
from .vm.machine import Machine

BIN = VENV / "bin"
EXPORT = CACHE / "export"
GO_BACKEND = CACHE / "go-backend"  # the program, once its tests have passed
# What takes long is told.
PYTEST_OPTIONS = ("--durations=0", "--durations-min=1")
# Decision 108 says why a test that fails is tried once more, and what that cannot hide: in a process of its own, or at
# once where it is molecule that runs pytest.
ONCE_MORE = ("--last-failed", "--last-failed-no-failures=none", "--maxfail=1", "-rp")
IN_PLACE = "--reruns=1 --reruns-delay=5 --max-suite-reruns=3 --rerun-show-tracebacks"
FAILURES = 3  # tests of a run of pytest that are tried once more; where there are more there is a reason
# The VM's scenario, but for its end; a VM that was there before is neither made nor removed.
METAL = ("create", "check", "converge", "idempotence", "side-effect", "verify")
OF_OUR_OWN = ("create", "check")
# Debians whose kernels are tried beside the one of the VM's scenario, and the tests that are about kernels.
KERNELS = ("bookworm", "trixie-backports")
OF_KERNELS = ("tests/metal/test_kernel.py", "tests/metal/test_afxdp.py")
SCRIPTS = (".ci/run", "scripts/marchproxy-import.sh", "files/services/go-backend/tests.sh")
# CI cuts no power and looks at no host before it makes one, which the site does, and has a test of a run that changes
# nothing; its tests are those without the mark of the full run.
SHORT = "-m 'not full'"
# The image's, and those that have what it uses.
API_PYTHONS = ("3.13", "3.12", "3.11")
# Of the moments at which modules are killed CI tries one of so many.
SWEEP = {"TRIPOD_SWEEP_STRIDE": "12"}
# What policies must hold by the clock, whole.
BY_THE_CLOCK = {"TRIPOD_LIMITS_SECONDS": "10", "TRIPOD_EXCHANGES": "100"}
IN_FULL = ("check", "idempotence", "side-effect")
# Written by tests/playbooks/images.yml: what was made, by base, runtime_base, build_base and xdp_object.
IMAGES = CACHE / "images.json"
SERVICES = ("postgres", "flask-backend", "go-backend", "webui", "rabbitmq")
# What decides what becomes of a host: pure functions, so there is no excuse for a branch that no test takes.
PLANNERS = (
    "_boot/driver_limits",
    "_boot/driver_plan",
    "_boot/kernel_args_limits",
    "_boot/kernel_args_plan",
    "_boot/sysctl_limits",
    "_boot/sysctl_plan",
    "_boot/sysctl_request",
    "_boot/sysctl_resource",
    "_boot/sysctl_state",
    "_cpu/changes",
    "_cpu/limits",
    "_cpu/plan",
    "_cpu/request",
    "_cpu/resource",
    "_cpu/state",
    "_firewall/limits",
    "_firewall/plan",
    "_firewall/request",
    "_firewall/ruleset",
    "_gateway/model",
    "_gateway/plan",
    "_gateway/render",
    "_gateway/rollback",
    "_gateway/table",
    "_gateway/validate",
    "_hugepages/limits",
    "_hugepages/plan",
    "_hugepages/request",
    "_hugepages/state",
    "_nic/resolve",
    "_nic/irq_plan",
    "_nic/limits",
    "_nic/plan",
)
PLANNER_BRANCHES = 0.95
_HANDED_ON = {
    "ANSIBLE_CONFIG",
    "ANSIBLE_HOME",
    "ANSIBLE_NOCOLOR",
    "CI",
    "NIC",
    "NO_COLOR",
    "PATH",
    "PEER",
    "PWD",
    "PYTEST_ADDOPTS",
    "PYTHONDONTWRITEBYTECODE",
    "TRIPOD_ARM64_IMAGES",
    "TRIPOD_BASE",
    "TRIPOD_COMPOSE",
    "TRIPOD_EXCHANGES",
    "TRIPOD_FUZZ_FRAMES",
    "TRIPOD_FUZZ_SEED",
    "TRIPOD_LIMITS_SECONDS",
    "TRIPOD_GUARD_TRIALS",
    "TRIPOD_METAL_PLAYBOOK",
    "TRIPOD_SITE_IS_THE_TESTS",
    "TRIPOD_SWEEP_STRIDE",
    "TRIPOD_VM",
    "TRIPOD_XDP_OBJECT",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
}


@dataclass(frozen=True)
class Stage:
    """One step of the tests.

    Attributes:
        name: Also its log's name.
        group: What selects it on the command line.
        run: Does it; returns a few words for its line, or raises Failure.
        minutes: Its budget, on two CPUs that it shares with one other stage; a longer run is a warning.
        after: Stages that must have succeeded before; they are selected with it.
        alone: Whether nothing may run beside it, as it measures time or owns the machine's state.
        apart: Stages that this one waits for, as its tests have deadlines of seconds and those take the machine.
        rest: The command that runs the tests which this stage leaves out.
        patient: Whether nothing in it has a deadline, so that it takes what two others leave of the CPUs. There is one
            such at a time.
        beside: The stage, one that is alone, beside which it runs where that is to run, too: nothing of it touches what
            that stage owns, and the machine has a CPU to spare then. It is patient.
        share: Of a CPU that it takes; one whose tests wait for half of their time leaves half of its place to others.
    """

    name: str
    group: str
    run: Callable[[], str]
    minutes: float
    after: Sequence[str] = ()
    alone: bool = False
    apart: Sequence[str] = ()
    rest: str | None = None
    patient: bool = False
    beside: str = ""
    share: float = 1.0


def _style() -> str:
    logged("style", [BIN / "ruff", "check", "."])
    logged("style", [BIN / "ruff", "format", "--check", "."], append=True, lines=30)
    logged("style", [BIN / "antsibull-changelog", "lint"], append=True)
    logged("style", ["shellcheck", *SCRIPTS], append=True)
    # In the copy: they walk through caches too, from which other stages take files away meanwhile.
    logged("style", [BIN / "yamllint", "--strict", "."], cwd=_copy(), append=True, lines=30)
    logged("style", [BIN / "reuse", "lint"], cwd=_copy(), append=True, lines=30)
    return "ruff, yamllint, antsibull-changelog, shellcheck, reuse"


def _export() -> str:
    return f"{sum(1 for path in export(EXPORT).rglob('*') if path.is_file() and '.git' not in path.parts)} files"


def _copy() -> Path:
    return EXPORT / "ansible_collections" / "tripod" / "baremetal"


def _types() -> str:
    mypy: list[str | Path] = [BIN / "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", CACHE / "mypy"]
    child = environment() | {"MYPYPATH": str(EXPORT)}
    # Each from the directory that gives the files the names by which they are imported.
    plugins = _copy().relative_to(EXPORT) / "plugins"
    logged("types", [*mypy, plugins], cwd=EXPORT, env=child, lines=40)
    logged("types", [*mypy, "tools", "tests"], cwd=_copy(), env=child, append=True, lines=40)
    return "mypy"


def _lint() -> str:
    child = environment() | {"ANSIBLE_COLLECTIONS_PATH": str(EXPORT), "NO_COLOR": "1"}
    child.pop("ANSIBLE_CONFIG")
    output = logged("lint", [BIN / "ansible-lint", "--strict", "--offline"], cwd=_copy(), env=child, lines=40)
    return next((line for line in reversed(output.splitlines()) if line.startswith("Passed")), "passed")


def _sanity() -> str:
    try:
        output = ansible_test.sanity(_copy(), "sanity")
    except CommandFailed as failure:
        errors = [line for line in failure.output.splitlines() if line.startswith(("ERROR", "FATAL"))]
        raise Failure("\n    ".join(["ansible-test found (see .cache/logs/sanity.log):", *errors])) from failure
    ran, left = ansible_test.tests_run(output), ansible_test.not_run(output)
    if not ran:
        raise Failure("ansible-test ran no test at all: see .cache/logs/sanity.log")
    return f"{len(ran)} tests" + "".join(f"; {words}" for words in left)


def _cores() -> str:
    """Let the oldest and the newest ansible-core judge the collection: sanity, and the syntax of every playbook."""
    words = []
    for core in cores.CORES:
        venv = cores.provide(core)
        if venv is None:
            words.append(f"NOT RUN with {core.line}: no Python {' or '.join(core.pythons)} is here")
            continue
        log = f"core-{core.line}"
        try:
            output = ansible_test.sanity(_copy(), log, venv)
        except CommandFailed as failure:
            errors = [line for line in failure.output.splitlines() if line.startswith(("ERROR", "FATAL"))]
            raise Failure("\n    ".join([f"ansible-test of {core.version} found:", *errors])) from failure
        child = environment() | {"ANSIBLE_COLLECTIONS_PATH": str(EXPORT)}
        child.pop("ANSIBLE_CONFIG")
        syntax = (venv / "bin" / "ansible-playbook", "--syntax-check", "-i", ROOT / "inventory" / "localhost.yml")
        for playbook in sorted((_copy() / "playbooks").glob("*.yml")):
            logged(log, [*syntax, playbook], cwd=EXPORT, env=child, append=True, lines=30)
        words.append(f"{core.version}: {len(ansible_test.tests_run(output))} tests")
    return "; ".join(words)


def _docs() -> str:
    command: list[str | Path] = [
        BIN / "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        "--validate-collection-refs",
        "all",
    ]
    child = environment() | {"ANSIBLE_COLLECTIONS_PATH": str(EXPORT)}
    child.pop("ANSIBLE_CONFIG")
    logged("docs", [*command, "."], cwd=_copy(), env=child, lines=30)
    return "antsibull-docs"


def _pages() -> str:
    return f"{pages.build(_copy(), CACHE / 'pages')} pages"


def _importer() -> str:
    """Let galaxy-importer take the artefact, as a server of collections would before it publishes it."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="importer-") as scratch:
        # It must name its sources, and these are the checkout. Whoever publishes it names where they are published.
        artefact = build(_copy(), Path(scratch), ROOT.as_uri(), log="importer")
        # ansible-lint has a stage of its own, and is stricter there.
        settings = {"GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false", "HOME": scratch, "TMPDIR": scratch}
        child = environment() | settings
        child.pop("ANSIBLE_CONFIG")
        command: list[str | Path] = [BIN / "python", "-m", "galaxy_importer.main", artefact]
        output = logged("importer", command, cwd=Path(scratch), env=child, append=True, lines=30)
        # It goes on where it only warns, and ends with success.
        if complaints := [line for line in output.splitlines() if line.startswith(("WARNING", "ERROR", "CRITICAL"))]:
            raise Failure("\n    ".join(["galaxy-importer says (see .cache/logs/importer.log):", *complaints]))
        contents = json.loads(Path(scratch, "importer_result.json").read_text(encoding="utf-8"))["contents"]
        found = sum(content["content_type"] in ("module", "role") for content in contents)
        return f"galaxy-importer, {found} modules and roles"


def _artefact() -> str:
    """Install the built artefact somewhere else and use it from there, as an operator would."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="artefact-") as scratch:
        tree, elsewhere = Path(scratch, "tree"), Path(scratch, "elsewhere")
        elsewhere.mkdir()
        child = environment() | {"ANSIBLE_COLLECTIONS_PATH": str(tree)}
        child.pop("ANSIBLE_CONFIG")

        def installed(*command: str | Path) -> str:
            return logged("artefact", command, cwd=elsewhere, env=child, append=True, lines=30)

        artefact = build(_copy(), Path(scratch, "out"))
        link_dependencies(tree)
        installed(BIN / "ansible-galaxy", "collection", "install", "--no-deps", "-p", tree, artefact)
        modules = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[!_]*.py"))
        installed(BIN / "ansible-doc", "--type", "module", *(f"tripod.baremetal.{name}" for name in modules))
        syntax = (BIN / "ansible-playbook", "--syntax-check", "-i", ROOT / "inventory" / "localhost.yml")
        playbooks = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
        for name in playbooks:
            installed(*syntax, f"tripod.baremetal.{name}")
        size = f"{artefact.stat().st_size / 1024:.0f} KiB"
        return f"{artefact.name}, {size}, {len(modules)} modules, {len(playbooks)} playbooks"


def _unit() -> str:
    report = CACHE / "coverage.json"
    # With the planners' own tests alone, as those that are measured take twice the time.
    packages = sorted({name.partition("/")[0] for name in PLANNERS})
    own = [f"tests/unit/plugins/module_utils/{package.removeprefix('_')}" for package in packages]
    measured = [f"--cov={ROOT}/plugins/module_utils/{package}" for package in packages]
    measure = [*measured, "--cov-branch", "--cov-report", f"json:{report}"]
    child = environment() | SWEEP | {"COVERAGE_FILE": str(CACHE / "coverage")}
    pytest: list[str | Path] = [BIN / "pytest", *PYTEST_OPTIONS]
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="unit-") as scratch:
        cache = ("-o", f"cache_dir={scratch}")
        _tested("unit", [*pytest, *cache, *own], measure, env=child)
        rest = [*(f"--ignore={tests}" for tests in own), "tests/unit"]
        _tested("unit", [*pytest, *cache, *rest], env=child, append=True)
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    taken = {name: _branches(files[f"plugins/module_utils/{name}.py"]["summary"]) for name in PLANNERS}
    few = [f"{name} {share:.0%}" for name, share in taken.items() if share < PLANNER_BRANCHES]
    if few:
        raise Failure(f"of a planner's branches at least {PLANNER_BRANCHES:.0%} are to be tested: {', '.join(few)}")
    return f"at least {min(taken.values()):.0%} of each planner's branches"


def _tested(
    log: str,
    command: Sequence[str | Path],
    first: Sequence[str | Path] = (),
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    append: bool = False,
) -> None:
    """Run pytest, and what failed once more, by itself.

    Args:
        log: The log's name.
        command: Pytest with its arguments, and with a directory for its cache that is its own.
        first: Further arguments, of the first run alone.
        cwd: Where it runs.
        env: Its environment; the tools' own if not given.
        append: Keep what the log holds.

    Raises:
        CommandFailed: A test failed twice, or too many did.
    """
    try:
        logged(log, [*command, *first], cwd=cwd, env=env, append=append, lines=80)
    except CommandFailed as failure:
        if not 0 < len(results.read(failure.output).failures) <= FAILURES:
            raise
        logged(log, [*command, *ONCE_MORE], cwd=cwd, env=env, append=True, lines=80)


def _branches(summary: Mapping[str, int]) -> float:
    return summary["covered_branches"] / summary["num_branches"] if summary["num_branches"] else 1.0


def _first_check() -> str:
    """Look at the site in check mode while the machine may still have nothing of it, not even an engine."""
    printed = logged("first-check", [BIN / "ansible-playbook", "site.yml", "--check", "--diff"], lines=40)
    return f"a first check foretells {re.findall(r'changed=([0-9]+)', printed)[-1]} changes"


def _xdp_object() -> str:
    """Make what the VM and the tests on veth pairs need, minutes before the services' images are built."""
    IMAGES.unlink(missing_ok=True)
    _provide("xdp-object", "-e", json.dumps({"images_services": []}))
    return "the Docker Engine, the base and the XDP object"


def _images() -> str:
    _provide("images")
    return "the services' images"


def _provide(log: str, *arguments: str) -> None:
    play: list[str | Path] = [BIN / "ansible-playbook", "tests/playbooks/images.yml", "-e", f"images_file={IMAGES}"]
    logged(log, [*play, *arguments], lines=40)


def docker_build(log: str, *arguments: str) -> str:
    """Build on the bases that tests/playbooks/images.yml made, and say whether anything was done.

    Args:
        log: The log's name.
        arguments: Of ``docker build``, the context last.
    """
    bases = (f"BASE={_made('runtime_base')}", f"BUILD_BASE={_made('build_base')}")
    common = ["--network", "host", *(word for one in bases for word in ("--build-arg", one))]
    output = logged(log, [*as_root(), "docker", "build", *common, *arguments], lines=60)
    # The engine does not repeat a step whose every input is the same, and whoever reads the result should know.
    last_step = output.rpartition("Step ")[2]
    return "unchanged since it last passed" if "Using cache" in last_step else "passed"


def _made(name: str) -> str:
    return str(json.loads(IMAGES.read_text(encoding="utf-8"))[name])


def _contracts() -> str:
    verdict = docker_build("contracts", "--file", "tests/contracts.Dockerfile", "files")
    return f"generated code of both languages: {verdict}"


def _service(name: str) -> Callable[[], str]:
    def run() -> str:
        return docker_build(name, "--target", "test", f"files/services/{name}")

    return run


def _go_backend() -> str:
    """Compile it, then run its tests where BPF is allowed, which no build is."""
    name = "go-backend"
    image = "tripod/go-backend-test:latest"
    docker_build(name, "--target", "compiled", "--tag", image, f"files/services/{name}")
    inside = "/bpf/tripod_xdp.bpf.o"
    variables = ("--env", "TRIPOD_REQUIRE_BPF=1", "--env", f"TRIPOD_XDP_OBJECT={inside}")
    mount = f"{_made('xdp_object')}:{inside}:ro"
    docker = [*as_root(), "docker"]
    # The least that loading programs, mounting bpffs, making NICs, and locking memory on a NUMA node takes. Nothing is
    # fetched, so there is no network.
    capabilities = [f"--cap-add={right}" for right in ("SYS_ADMIN", "NET_ADMIN", "IPC_LOCK", "SYS_NICE")]
    rights = ["--network=none", *capabilities, "--security-opt=apparmor=unconfined"]
    run = [*docker, "run", "--rm", *rights, *variables, "--volume", mount, image]
    logged(name, run, append=True, lines=60)
    containers.take(name, image, "/out/usr/local/bin/go-backend", GO_BACKEND)
    logged(name, [*docker, "image", "rm", image], append=True)
    return "passed, on the kernel too"


def _several_hosts() -> str:
    """Run the API's tests beside real go-backends, of which the build of its image has none."""
    log = "several-hosts"
    python, service = _api_environment(log)
    more = {"PYTHONPATH": str(service), "TRIPOD_GO_BACKEND": str(GO_BACKEND)}
    tests = ("tests/test_go_backends.py", "tests/test_go_backends_call.py")
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="several-hosts-") as scratch:
        words: list[str | Path] = [python, "-m", "pytest", "-o", f"cache_dir={scratch}", *PYTEST_OPTIONS]
        _tested(log, [*words, *tests], cwd=service, env=environment() | more, append=True)
    return ""


def _examples() -> str:
    with _root_environment() as words:
        _tested("examples", [*words, BIN / "pytest", "tests/examples"])
    return ""


def _is_on_packets(name: str) -> bool:
    """Whether a file of tests/integration is about what judges packets, or who sends them; about half of the time."""
    return name.startswith(("test_gateway", "test_policy", "test_xdp"))


def _rung(
    rung: str,
    choice: str,
    log: str,
    added: Mapping[str, str] | None = None,
    chosen: Callable[[str], bool] = lambda _name: True,
    is_story: bool = False,
) -> Callable[[], str]:
    """Return what runs the tests of a directory as root.

    Args:
        rung: The directory below ``tests``.
        choice: Arguments of pytest's that choose among them.
        log: The log's name.
        added: To the environment.
        chosen: Whether a file of that name is among them.
        is_story: Whether each test goes on from where the one before it ended, so that none can be tried by itself.
    """

    def run() -> str:
        files = sorted(f"tests/{rung}/{path.name}" for path in (ROOT / "tests" / rung).glob("test_*.py"))
        with _root_environment(choice, **(added or {})) as words:
            command: list[str | Path] = [*words, BIN / "pytest", *(file for file in files if chosen(Path(file).name))]
            logged(log, [*command, "--exitfirst"], lines=80) if is_story else _tested(log, command)
        return ""

    return run


def _killed() -> str:
    files = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*killed.py"))
    with _root_environment() as words:
        _tested("killed", [*words, BIN / "pytest", *files])
    return "at every moment"


def _site(name: str, choice: str = "") -> Callable[[], str]:
    """Run the scenario of a site on this machine, with a choice of its tests, by pytest's arguments."""

    def run() -> str:
        # Somebody's site is tried as it stands, and stays, with its data. Where there is none one is made and removed.
        stands = engine.site_remains()
        steps = ("converge", "idempotence", "verify") if stands else ("test",)
        added = {"TRIPOD_SITE_IS_THE_TESTS": "" if stands else "1", **_compose()}
        with _root_environment(f"{IN_PLACE} {choice}", **added) as words:
            for number, verb in enumerate(steps):
                logged(name, [*words, BIN / "molecule", verb, "-s", "default"], append=number > 0, lines=80)
            if not stands:
                logged(name, [*words, BIN / "pytest", "tests/aftermath"], append=True, lines=80)
        return "the site that was here, which stays" if stands else "a site from nothing, and removed"

    return run


def _compose() -> dict[str, str]:
    words = compose.command()
    return {"TRIPOD_COMPOSE": shlex.join(words)} if words else {}


def _arm64() -> str:
    """Build the services' images for arm64 and start them, which this machine may have to emulate."""
    log = arm64.LOG
    with (
        emulator.arm64() as runner,
        arm64.built(SERVICES, _made("build_base")) as images,
        _root_environment(TRIPOD_ARM64_IMAGES=json.dumps(images), **_compose()) as words,
    ):
        _tested(log, [*words, BIN / "pytest", "tests/arm64"], append=True)
    return f"by {runner}"


def _vm_base() -> str:
    if foreign := _foreign():
        return foreign
    base.qemu()
    base.guest()
    return "QEMU, and the guest's disk"


def _foreign() -> str | None:
    architecture = os.uname().machine
    return None if architecture == "x86_64" else f"NOT RUN: the VM is an x86-64 machine, and this one is {architecture}"


def _kernels() -> str:
    """Try what a kernel decides on the oldest that hosts may have, and on the newest that Debian has for them."""
    if foreign := _foreign():
        return foreign
    log, tried = "kernels", []
    for number, suite in enumerate(KERNELS):
        vm = Machine(f"kernel-{suite}")
        # Somebody's VM of that name is tried as it stands, and stays.
        stands = vm.exists
        try:
            if not stands:
                vm.create(suite=suite)
            with _root_environment(TRIPOD_VM=vm.name) as words:
                _tested(log, [*words, BIN / "pytest", *OF_KERNELS], append=number > 0)
            tried.append(vm.ssh(["uname", "--kernel-release"], capture=True).stdout.strip())
        finally:
            if not stands:
                vm.destroy()
    return f"Linux {' and '.join(tried)}"


def _metal(name: str, playbook: str, choice: str = "") -> Callable[[], str]:
    """Run the VM's scenario with a playbook of its own, and with a choice of its tests, by pytest's arguments."""

    def run() -> str:
        if foreign := _foreign():
            return foreign
        # Somebody's VM of that name is tried as it stands, and stays.
        stands = Machine("metal").exists
        steps = [step for step in METAL if not (stands and step in OF_OUR_OWN) and not (choice and step in IN_FULL)]
        with _root_environment(f"{IN_PLACE} {choice}", TRIPOD_METAL_PLAYBOOK=playbook) as words:
            molecule: list[str | Path] = [*words, BIN / "molecule"]
            taken: list[str] = []
            try:
                for number, step in enumerate(steps):
                    begin = time.monotonic()
                    logged(name, [*molecule, step, "-s", "metal"], append=number > 0, lines=80)
                    taken.append(f"{step} {duration(time.monotonic() - begin)}")
            finally:
                if not stands:
                    logged(name, [*molecule, "destroy", "-s", "metal"], append=True)
        return ", ".join(["the VM that was here, which stays" if stands else "a VM from nothing, and removed", *taken])

    return run


def _bench(name: str, module: str, given: str = "xdp_object", *more: str | Path) -> Callable[[], str]:
    """Run a module of tests/bench.

    Args:
        name: The log's.
        module: Of tests/bench.
        given: What was made that it takes as its argument; nothing where that is empty.
        more: Its other arguments.
    """

    def run() -> str:
        with _root_environment() as words:
            # pytest, which runs all else, has it from pyproject.toml.
            core = f"PYTHONPATH={COLLECTIONS}"
            weigh: list[str | Path] = [BIN / "python", "-m", f"tests.bench.{module}"]
            if given:
                weigh.append(_made(given))
            printed = logged(name, [*words, core, *weigh, *more], lines=20)
        return "\n" + printed.rstrip()

    return run


def _bench_afxdp() -> str:
    """Build the receiver in C in an image, and weigh a worker beside it."""
    tag, log = "tripod-bench-receiver", "bench-receiver"
    docker_build(log, "--file", "tests/bench/receiver.Dockerfile", "--tag", tag, "tests/bench")
    with tempfile.TemporaryDirectory() as scratch:
        receiver = Path(scratch, "receiver")
        containers.take(log, tag, "/receiver", receiver)
        return _bench("bench-afxdp", "afxdp", "", "--receiver", receiver)()


def _api_environment(log: str) -> tuple[Path, Path]:
    """Return a Python with the packages of the API's image and of its tests, and where the API is."""
    service, place = ROOT / "files" / "services" / "flask-backend", CACHE / "flask-backend"
    python = cores.interpreter(API_PYTHONS)
    if python is None:
        raise Failure(f"no Python of {', '.join(API_PYTHONS)} is here, one of which the API needs")
    logged(log, [python, "-m", "venv", place])
    pip: list[str | Path] = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes"]
    for pins in ("requirements.txt", "requirements-test.txt"):
        logged(log, [*pip, "-r", service / pins], append=True)
    return place / "bin" / "python", service


def _bench_api() -> str:
    """Weigh the API, and the ways to it through the web interface and through the front."""
    log = "bench-api"
    python, service = _api_environment(log)
    tag = "tripod-bench-webui"
    docker_build(log, "--target", "bundle", "--tag", tag, "files/services/webui")
    with tempfile.TemporaryDirectory() as scratch:
        dist = Path(scratch, "dist")
        containers.take(log, tag, "/build/dist", dist)
        words: list[str | Path] = [python, "tests/bench_api.py", "--web-interface", dist / "server.cjs"]
        words += ["--front", ROOT / "plugins" / "module_utils" / "_deploy" / "nginx_config.py"]
        printed = logged(log, words, cwd=service, env=environment() | {"PYTHONPATH": str(service)}, lines=20)
    return "\n" + printed.rstrip()


def _bench_provision() -> str:
    """Weigh a run without changes on the VM, which is made for it where there is none."""
    log = "bench-provision"
    vm = Machine("metal")
    stands = vm.exists
    with _root_environment() as words:
        molecule: list[str | Path] = [*words, BIN / "molecule"]
        try:
            logged(log, [*molecule, "converge", "-s", "metal"], lines=80)
            # Few names and rounds: an emulated host takes minutes for what the control node does in seconds.
            weigh: list[str | Path] = [BIN / "python", "-m", "tests.bench.provision", vm.inventory, vm.name, "4", "1"]
            printed = logged(log, [*words, *weigh], append=True, lines=20)
        finally:
            if not stands:
                logged(log, [*molecule, "destroy", "-s", "metal"], append=True)
    return "\n" + printed.rstrip()


@contextlib.contextmanager
def _root_environment(choice: str = "", **added: str) -> Iterator[list[str]]:
    """Yield the words before a command that makes it run as root, with nothing of root's left in the checkout.

    Args:
        choice: Arguments of pytest's that choose among the tests.
        added: To the environment.
    """
    with tempfile.TemporaryDirectory(prefix="tripod-", ignore_cleanup_errors=True) as scratch:
        variables = environment() | {
            "ANSIBLE_HOME": f"{scratch}/ansible",
            "XDG_CACHE_HOME": f"{scratch}/cache",
            "NO_COLOR": "1",
            "ANSIBLE_NOCOLOR": "1",
            # Which sudo forgets, and a child of another directory has from its parent.
            "PWD": str(ROOT),
            "PYTEST_ADDOPTS": f"-o cache_dir={scratch}/pytest {shlex.join(PYTEST_OPTIONS)} {choice}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TRIPOD_BASE": _made("base"),
            "TRIPOD_XDP_OBJECT": _made("xdp_object"),
            **added,
        }
        # sudo hands no environment on, so env does.
        handed_on = [f"{name}={value}" for name, value in variables.items() if name in _HANDED_ON]
        try:
            yield [*as_root(), "env", *handed_on]
        finally:
            if as_root():
                subprocess.run([*as_root(), "rm", "--recursive", "--force", scratch], check=False)


# In the order of preference, where several could start: what others wait for, the chain of image builds, the longest.
STAGES = (
    Stage("export", "gates", _export, minutes=0.25, patient=True),
    Stage("style", "gates", _style, minutes=0.25, after=("export",), patient=True),
    Stage("first-check", "services", _first_check, minutes=1.25),
    Stage("xdp-object", "services", _xdp_object, minutes=2, after=("first-check",)),
    Stage("lint", "gates", _lint, minutes=1.5, after=("export",), patient=True),
    Stage("types", "gates", _types, minutes=0.5, after=("export",), patient=True),
    Stage("vm-base", "metal", _vm_base, minutes=2.5),
    Stage("unit", "unit", _unit, minutes=4.25),
    Stage(
        "metal",
        "metal",
        _metal("metal", "converge.yml", SHORT),
        minutes=16.5,
        after=("vm-base", "xdp-object"),
        rest="make test-metal-full",
    ),
    Stage("images", "services", _images, minutes=6.75, after=("xdp-object",)),
    Stage("sanity", "gates", _sanity, minutes=4, after=("export",), patient=True, beside="site"),
    Stage("cores", "cores", _cores, minutes=12, after=("sanity",)),
    Stage("docs", "gates", _docs, minutes=1, after=("export",), patient=True, beside="site"),
    Stage("pages", "gates", _pages, minutes=1.5, after=("export",), patient=True, beside="site"),
    Stage("importer", "gates", _importer, minutes=1, after=("export",), patient=True, beside="site"),
    Stage("artefact", "gates", _artefact, minutes=0.5, after=("export",), patient=True),
    # Half of the time of both is spent on waiting for a round of the watch or for a deadline, so they go side by side.
    Stage(
        "integration",
        "integration",
        _rung("integration", SHORT, "integration", SWEEP, lambda name: not _is_on_packets(name)),
        minutes=16,
        after=("xdp-object",),
        apart=("vm-base", "metal"),
        rest="make test-integration-full",
        share=0.5,
    ),
    Stage(
        "integration-xdp",
        "integration",
        _rung("integration", SHORT, "integration-xdp", SWEEP, _is_on_packets),
        minutes=16.5,
        after=("xdp-object",),
        apart=("vm-base", "metal"),
        rest="make test-integration-full",
        share=0.5,
    ),
    Stage("flask-backend", "services", _service("flask-backend"), minutes=14.5, after=("xdp-object",)),
    Stage("go-backend", "services", _go_backend, minutes=5.5, after=("xdp-object",)),
    Stage("several-hosts", "services", _several_hosts, minutes=1.25, after=("go-backend",)),
    Stage("postgres", "services", _service("postgres"), minutes=1.25, after=("xdp-object",)),
    Stage("webui", "services", _service("webui"), minutes=2.5, after=("xdp-object",)),
    Stage("rabbitmq", "services", _service("rabbitmq"), minutes=1.5, after=("xdp-object",)),
    Stage("contracts", "services", _contracts, minutes=2.5, after=("xdp-object",), patient=True),
    Stage("examples", "integration", _examples, minutes=3.75, after=("xdp-object",), patient=True),
    Stage(
        "ways",
        "integration",
        _rung("ways", SHORT, "ways"),
        minutes=4.5,
        after=("xdp-object",),
        rest="make test-ways",
        patient=True,
    ),
    Stage("ways-full", "ways", _rung("ways", "", "ways-full"), minutes=20, after=("xdp-object",)),
    Stage(
        "integration-full",
        "integration-full",
        _rung("integration", "", "integration-full", SWEEP | BY_THE_CLOCK),
        minutes=44,
        after=("xdp-object",),
        alone=True,
    ),
    Stage("killed", "killed", _killed, minutes=40, after=("xdp-object",), alone=True),
    Stage(
        "metal-full",
        "metal-full",
        _metal("metal-full", "../../site.yml"),
        minutes=120,
        after=("vm-base", "images"),
        alone=True,
    ),
    # It makes the hosts of this machine's images and packages. Its tests are a story, so nothing comes after a fault.
    Stage("hosts", "hosts", _rung("hosts", "", "hosts", is_story=True), minutes=25, after=("images",), alone=True),
    Stage("arm64", "arm64", _arm64, minutes=40, after=("xdp-object",), alone=True),
    Stage("kernels", "kernels", _kernels, minutes=60, after=("vm-base", "xdp-object"), alone=True),
    Stage("bench-map", "bench", _bench("bench-map", "xdp_map"), minutes=15, after=("xdp-object",), alone=True),
    Stage(
        "bench-policy", "bench", _bench("bench-policy", "policy_file"), minutes=10, after=("xdp-object",), alone=True
    ),
    Stage("bench-xdp", "bench", _bench("bench-xdp", "xdp_cost"), minutes=10, after=("xdp-object",), alone=True),
    Stage("bench-drop", "bench", _bench("bench-drop", "xdp_drop"), minutes=5, after=("xdp-object",), alone=True),
    Stage(
        "bench-afxdp",
        "bench",
        _bench_afxdp,
        minutes=10,
        after=("xdp-object",),
        alone=True,
    ),
    Stage("bench-api", "bench", _bench_api, minutes=8, after=("xdp-object",), alone=True),
    Stage("bench-provision", "bench", _bench_provision, minutes=30, after=("vm-base", "xdp-object"), alone=True),
    # The last: their teardown takes the images and the XDP object along.
    Stage(
        "site", "site", _site("site", SHORT), minutes=16.5, after=("images",), alone=True, rest="make test-site-full"
    ),
    Stage("site-full", "site-full", _site("site-full"), minutes=25, after=("images",), alone=True),
)
