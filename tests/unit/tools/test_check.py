"""What a run of the stages does and says: which start, which were late, which tests were slow, which were left out."""

from __future__ import annotations

import os

import pytest

from tools import check
from tools.results import Results
from tools.stages import STAGES, Stage

BY_NAME = {stage.name: stage for stage in STAGES}


def stage(name, **options):
    return Stage(name, options.pop("group", "unit"), lambda: "", minutes=options.pop("minutes", 1), **options)


def record(of, seconds=1.0, error=None, **found):
    return check.Record(of, seconds, error, Results(**found))


def said(capsys, records, seconds=60.0, minutes=None):
    check.summarise([one.stage for one in records], records, seconds, minutes)
    return capsys.readouterr().out


def startable(waiting, running=(), succeeded=()):
    by_preference = [one for one in STAGES if one.name in waiting]
    chosen = check._startable(by_preference, [BY_NAME[one] for one in running], {*succeeded, "first-check", "export"})
    return [one.name for one in chosen]


def test_every_stage_is_told_with_its_time_and_its_budget(capsys):
    out = said(capsys, [record(stage("quick", minutes=2), 59.0), record(stage("broken"), 3.0, "no")], 65, 50)
    assert "Stages, 1 min 05 s in all of 50 min 00 s" in out
    assert "quick           ok             59.0 s of 2 min 00 s" in out
    assert "broken          FAILED          3.0 s of 1 min 00 s" in out
    assert "warning" not in out


def test_a_stage_that_is_over_its_budget_is_a_warning(capsys):
    out = said(capsys, [record(stage("slow"), 61.0), record(stage("quick"), 60.0)])
    assert "warning: slow took 1 min 01 s, its budget is 1 min 00 s: " in out
    assert out.count("warning") == 1


def test_a_run_that_is_over_its_budget_is_a_warning(capsys):
    assert "warning: all stages took 51 min 00 s, their budget is 50 min 00 s" in said(capsys, [], 3060, 50)
    assert "warning" not in said(capsys, [], 3060)


def test_the_slowest_tests_of_all_stages_are_told_slowest_first(capsys):
    records = [
        check.Record(stage("unit"), 1.0, None, Results(seconds={f"t.py::t{n}": float(n) for n in range(12)})),
        check.Record(stage("metal"), 1.0, None, Results(seconds={"m.py::boots": 75.0})),
        check.Record(stage("export"), 1.0),
    ]
    assert [name for _stage, name, _seconds in check.slowest(records)] == [
        "m.py::boots",
        *(f"t.py::t{number}" for number in range(11, 2, -1)),
    ]
    assert "1 min 15 s  metal: m.py::boots\n" in said(capsys, records)


def test_tests_that_were_left_out_are_told_with_the_command_that_runs_them(capsys):
    out = said(capsys, [record(stage("metal", rest="make test-metal-full"), deselected=37), record(stage("unit"))])
    assert "metal left out 37 tests, which are run by: make test-metal-full" in out
    assert "unit left out" not in out


def test_a_test_that_passed_at_its_second_try_is_told_with_what_it_had_failed_by(capsys):
    out = said(capsys, [record(stage("unit"), unsteady=["t.py::t - too early"]), record(stage("metal"))])
    assert "\nUnsteady tests" in out
    assert "  t.py::t - too early\n" in out
    assert "Unsteady" not in said(capsys, [record(stage("unit"))])


def test_a_sample_of_the_ways_has_what_all_of_them_need():
    assert BY_NAME["ways"].group == "integration"
    assert set(check.HOST_TOOLS["ways"]) <= set(check.HOST_TOOLS["integration"])


def test_what_leaves_tests_out_names_the_command_that_runs_them():
    assert {one.name: one.rest for one in STAGES if one.rest} == {
        "metal": "make test-metal-full",
        "ways": "make test-ways",
        "integration": "make test-integration-full",
        "integration-xdp": "make test-integration-full",
        "site": "make test-site-full",
    }


def test_a_stage_after_another_waits_for_it_and_two_run_at_once():
    assert startable(["xdp-object", "vm-base", "metal", "unit"]) == ["xdp-object", "vm-base"]
    assert startable(["metal", "unit"], ["vm-base"], ["xdp-object"]) == ["unit"]


def test_one_that_has_no_deadlines_runs_beside_two():
    assert startable(["xdp-object", "vm-base", "lint", "sanity"]) == ["xdp-object", "lint", "vm-base"]
    assert startable(["sanity"], ["xdp-object", "vm-base"]) == ["sanity"]
    assert startable(["sanity", "vm-base"], ["xdp-object", "lint"]) == ["vm-base"]


def test_it_runs_at_the_lowest_priority_and_the_others_do_not():
    found: dict[str, int] = {}

    def told(name):
        def run():
            found[name] = os.getpriority(os.PRIO_PROCESS, 0)
            return ""

        return run

    stages = [Stage(name, "unit", told(name), 1, patient=name == "patient") for name in ("patient", "one", "other")]
    assert {one.error for one in check.run_stages(stages)} == {None}
    ours = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert found == {"patient": check.LOWEST_PRIORITY, "one": ours, "other": ours}


def test_the_vm_is_tried_while_images_are_built_and_tested():
    done = ["xdp-object", "vm-base"]
    assert startable(["images", "metal", "unit", "site"], [], done) == ["unit", "metal"]
    assert startable(["images", "metal", "webui", "site"], [], done) == ["metal", "images"]
    assert startable(["integration", "site"], ["metal"], [*done, "images"]) == []


def test_two_that_wait_for_half_of_their_time_share_a_place():
    done = ["xdp-object", "images"]
    both = ["integration", "integration-xdp"]
    assert startable([*both, "flask-backend", "webui"], [], done) == [*both, "flask-backend"]
    assert startable([*both, "webui"], ["flask-backend"], done) == both
    assert startable(["integration-xdp", "webui"], ["integration", "flask-backend"], done) == ["integration-xdp"]


def test_two_image_builds_run_at_once_only_where_nothing_else_waits():
    assert startable(["webui", "postgres", "unit"], ["images"], ["xdp-object"]) == ["unit"]
    assert startable(["webui", "integration"], ["images", "metal"], ["xdp-object"]) == []
    assert startable(["webui", "postgres", "ways", "site"], ["images"], ["xdp-object"]) == ["postgres", "ways"]


def test_what_has_deadlines_of_seconds_waits_for_the_vm():
    done = ["xdp-object", "images"]
    assert startable(["integration", "webui"], [], done) == ["integration", "webui"]
    assert startable(["integration", "site"], ["webui"], done) == ["integration"]
    assert startable(["metal", "integration", "webui"], [], ["vm-base", *done]) == ["metal", "webui"]
    assert startable(["metal", "integration"], ["vm-base"], done) == []
    assert startable(["metal"], ["integration"], ["vm-base", *done]) == []
    # Where the VM's base could not be made, there is nothing to wait for.
    assert startable(["metal", "integration"], [], done) == ["integration"]


@pytest.mark.parametrize("name", ["site", "bench-map"])
def test_what_measures_or_owns_the_machine_is_alone(name):
    done = ["xdp-object", "images"]
    assert startable([name], [], done) == [name]
    assert startable([name, "artefact"], [], done) == ["artefact"]
    assert startable(["artefact"], [name], done) == []


def test_what_touches_nothing_waits_for_the_site_and_runs_beside_it_one_at_a_time():
    done = ["xdp-object", "images"]
    held = [one.name for one in STAGES if one.beside]
    assert held == ["sanity", "docs", "pages", "importer"]
    assert all(BY_NAME[one].patient and BY_NAME[BY_NAME[one].beside].alone for one in held)
    assert startable([*held, "webui", "site"], [], done) == ["webui"]
    assert startable([*held, "site"], ["webui"], done) == []
    assert startable([*held, "site"], [], done) == ["site", held[0]]
    assert startable(held, ["site"], done) == held[:1]
    assert startable(held[1:], ["site", held[0]], done) == []
    assert startable(held, ["bench-map"], done) == []


def test_what_would_run_beside_the_site_runs_where_there_is_none():
    assert startable(["docs", "lint"]) == ["lint"]
    assert startable(["docs", "sanity"]) == ["sanity"]
    # Its images could not be made.
    assert startable(["docs", "site"]) == ["docs"]


def makespan(stages):
    """Return the minutes that the stages take together if each takes its whole budget."""
    waiting, now = list(stages), 0.0
    running: dict[Stage, float] = {}
    succeeded: set[str] = set()
    while waiting or running:
        for one in check._startable(waiting, list(running), succeeded):
            waiting.remove(one)
            running[one] = now + one.minutes
        assert running, f"nothing can start of {[one.name for one in waiting]}"
        first = min(running, key=running.__getitem__)
        now = running.pop(first)
        succeeded.add(first.name)
    return now


def test_the_budgets_of_cis_stages_fit_into_its_own():
    made_ready = 3.0  # minutes for the environment and the host's packages
    groups = {one.group for one in STAGES} - set(check.LONG)
    assert makespan(check.selected(groups)) + made_ready <= check.MINUTES
