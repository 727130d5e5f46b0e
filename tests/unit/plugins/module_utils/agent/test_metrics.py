"""Metrics as text."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._agent import metrics
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.metrics import Family, Metrics, render


def test_families_with_and_without_labels():
    families = [
        Family("tripod_a_total", "How many.", [({}, 3)]),
        Family("tripod_b", "How\nlong.", [({"one": 'a"b\\c\nd', "two": "e"}, 1.5)], "gauge"),
        Family("tripod_c_total", "Nothing yet.", []),
    ]
    assert render(families).splitlines() == [
        "# HELP tripod_a_total How many.",
        "# TYPE tripod_a_total counter",
        "tripod_a_total 3",
        "# HELP tripod_b How\\nlong.",
        "# TYPE tripod_b gauge",
        'tripod_b{one="a\\"b\\\\c\\nd",two="e"} 1.5',
        "# HELP tripod_c_total Nothing yet.",
        "# TYPE tripod_c_total counter",
    ]


def test_what_the_watch_did_is_always_in_its_file(tmp_path):
    file = tmp_path / "metrics.prom"
    counted = Metrics(str(file))
    assert "tripod_watch_patrols_total 0" in file.read_text().splitlines()
    counted.count("drifts", "ens1")
    counted.count("drifts", "ens1")
    counted.count("patrols")
    lines = file.read_text().splitlines()
    assert 'tripod_watch_drifts_total{interface="ens1"} 2' in lines
    assert "tripod_watch_patrols_total 1" in lines


def test_a_place_that_takes_no_file_stops_nothing(tmp_path):
    metrics.replace(str(tmp_path / "absent" / "metrics.prom"), "text")
    Metrics(str(tmp_path / "absent" / "metrics.prom")).count("patrols")
