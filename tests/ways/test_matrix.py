"""Every tag of every playbook, and every role alone, in check mode on a machine where nothing of ours is yet.

``make test-ways`` runs all of it, CI a sample: those not marked ``full``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.support.fresh import ROOT, ansible_playbook, fresh_machine

AT_ONCE = 2
LAB = str(ROOT / "inventory" / "localhost.yml")
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
# What a role cannot do without; everything else has a default.
REQUIRED: dict[str, dict[str, Any]] = {"common_container": {"container_service": "webui"}}
# Its tasks are for other roles only, and it has none of its own.
WITHOUT_TASKS = {"common"}
# What CI has time for: what reads most of what others would have said.
SAMPLE = {
    *(f"site --tags {tag}" for tag in ("preflight", "kernel", "xdp", "go_backend", "webui")),
    *(
        f"include_role {role}"
        for role in ("docker_engine", "firewall", "flask_backend", "go_backend", "images", "kernel", "postgres", "xdp")
    ),
    "provision --skip-tags hugepages",
}
PLAYBOOKS = (
    "control",
    "provision",
    "deploy",
    "gateway",
    "summary",
    "teardown",
    "lab",
    "reset_password",
    "rotate_ca",
    "rotate_jwt_key",
)


@dataclass(frozen=True)
class Way:
    """One way to run something of the collection.

    Attributes:
        name: Of the test.
        playbook: A file below the checkout, or the text of one.
        words: Further arguments.
        inventory: A file, or the text of one.
        refusal: What the preflight says against it; empty where it is to run.
    """

    name: str
    playbook: str
    words: tuple[str, ...] = ()
    inventory: str = LAB
    refusal: str = ""


def tags(name: str) -> list[str]:
    """Return the tags of a playbook, of those that it imports too."""
    found: list[str] = []
    for play in yaml.safe_load((ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8")):
        if "ansible.builtin.import_playbook" in play:
            found += tags(play["ansible.builtin.import_playbook"].removesuffix(".yml"))
        for entry in [play, *(entry for kind in ("pre_tasks", "roles", "tasks") for entry in play.get(kind, []))]:
            found += [tag for tag in entry.get("tags", []) if tag not in ("always", "never")]
    return list(dict.fromkeys(found))


def alone(role: str, keyword: str) -> str:
    """Return a playbook that runs one role and nothing else."""
    play: dict[str, Any] = {"name": role, "hosts": "tripod", "gather_facts": False, "become": True}
    if keyword == "roles":
        play["roles"] = [{"role": f"tripod.baremetal.{role}", "vars": REQUIRED.get(role, {})}]
    else:
        task = {"name": role, f"ansible.builtin.{keyword}": {"name": f"tripod.baremetal.{role}"}}
        play["tasks"] = [{**task, "vars": REQUIRED.get(role, {})}]
    return yaml.safe_dump([play])


BARE = yaml.safe_dump(
    {
        "tripod": {
            "hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}}
        }
    }
)


def ways() -> Iterator[Way]:
    """Yield every way."""
    for tag in tags("site"):
        yield Way(f"site --tags {tag}", "playbooks/site.yml", ("--tags", tag))
    for role in ROLES:
        if role not in WITHOUT_TASKS:
            yield Way(f"include_role {role}", alone(role, "include_role"), inventory=BARE)
            yield Way(f"roles {role}", alone(role, "roles"), inventory=BARE)
    for tag in tags("provision"):
        # Alone it makes no lab NIC, and would miss it.
        yield Way(f"provision --skip-tags {tag}", "playbooks/provision.yml", ("--skip-tags", tag), BARE)
    for tag in tags("site"):
        # Without the play that makes the lab NIC, what is requested of it finds no NIC.
        refusal = "interface tripod0" if tag in {*tags("lab")} - {"preflight"} else ""
        yield Way(f"site --skip-tags {tag}", "playbooks/site.yml", ("--skip-tags", tag), refusal=refusal)
    for name in PLAYBOOKS:
        playbook, inventory = f"playbooks/{name}.yml", LAB if name == "lab" else BARE
        yield Way(name, playbook, (), inventory)
        for tag in tags(name):
            yield Way(f"{name} --tags {tag}", playbook, ("--tags", tag), inventory)
            if name != "provision":
                yield Way(f"{name} --skip-tags {tag}", playbook, ("--skip-tags", tag), inventory)


WAYS = list(ways())


class Runs:
    """Runs ways two at a time, each in a machine of the thread's own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self._lock = folder, stack, threading.Lock()
        self._own = threading.local()
        self._pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        self._futures: dict[Way, Future[CompletedProcess[str]]] = {}

    def begin(self, chosen: list[Way]) -> None:
        """Begin with these."""
        for number, way in enumerate(chosen):
            self._futures[way] = self._pool.submit(self._run, way, self._folder / str(number))

    def result(self, way: Way) -> CompletedProcess[str]:
        """Return how a way went."""
        return self._futures[way].result()

    def cancel(self) -> None:
        """Leave out what has not begun."""
        for future in self._futures.values():
            future.cancel()

    def _run(self, way: Way, folder: Path) -> CompletedProcess[str]:
        folder.mkdir()
        playbook, inventory = way.playbook, way.inventory
        if "\n" in playbook:
            (folder / "play.yml").write_text(playbook, encoding="utf-8")
            playbook = str(folder / "play.yml")
        if "\n" in inventory:
            (folder / "hosts.yml").write_text(inventory, encoding="utf-8")
            inventory = str(folder / "hosts.yml")
        with self._lock:
            if not hasattr(self._own, "machine"):
                self._own.machine = self._stack.enter_context(fresh_machine())
        return ansible_playbook(self._own.machine, [playbook, "-i", inventory, "--check", "--diff", *way.words])


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """What runs the ways of the tests that were chosen."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [item.callspec.params["way"] for item in items if hasattr(item, "callspec")]
    with ExitStack() as stack:
        made = Runs(tmp_path_factory.mktemp("ways"), stack)
        made.begin(chosen)
        try:
            yield made
        finally:
            made.cancel()


@pytest.mark.parametrize(
    "way", [pytest.param(way, id=way.name, marks=[] if way.name in SAMPLE else [pytest.mark.full]) for way in WAYS]
)
def test_it_runs_in_check_mode(way: Way, runs: Runs) -> None:
    done = runs.result(way)
    assert (done.returncode != 0) == bool(way.refusal), done.stdout[-6000:] + done.stderr
    assert way.refusal in done.stdout
    assert "is undefined" not in done.stdout + done.stderr


def test_every_tag_is_tried_both_ways() -> None:
    names = {way.name for way in WAYS}
    assert names > SAMPLE
    assert len(tags("site")) > 12
    for name in ("site", *PLAYBOOKS):
        assert {f"{name} {word} {tag}" for tag in tags(name) for word in ("--tags", "--skip-tags")} <= names
    assert {
        f"{word} {role}" for role in ROLES if role not in WITHOUT_TASKS for word in ("roles", "include_role")
    } <= names
