"""The recorded NICs are what the planner's tests stand on: each must be a state, and say where it comes from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Impossible
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import irqs as linux_irqs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.ethtool_netlink import COALESCE, RINGS
from ansible_collections.tripod.baremetal.plugins.module_utils._nic import recording
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import NicState

FIXTURES = sorted((Path(__file__).parents[3] / "fixtures/nic").glob("*.json"))


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def recorded(request):
    return request.param.stem, json.loads(request.param.read_text(encoding="utf-8"))


def test_a_record_is_a_state_that_says_where_it_comes_from(recorded):
    driver, data = recorded
    state = NicState.from_json(data["nic"])
    assert state.settings.driver == driver
    assert state.to_json() == data["nic"]
    assert data["source"]


def test_a_record_speaks_the_words_of_the_settings(recorded):
    settings = NicState.from_json(recorded[1]["nic"]).settings
    assert set(settings.coalesce or ()) <= set(COALESCE.parameters)
    assert {*(settings.rings or ()), *(settings.ring_options or ())} <= set(RINGS.parameters)
    if settings.rss:
        assert max(settings.rss.table) < settings.rss.rings


def test_the_names_of_a_records_interrupts_tell_their_queues(recorded):
    irqs = NicState.from_json(recorded[1]["nic"]).irqs
    assert [irq.queue for irq in linux_irqs.by_name(irqs)] == [irq.queue for irq in irqs]


def test_an_interface_that_is_not_there():
    with pytest.raises(Impossible, match=r"^tripod-none: there is no such interface; there are lo\b"):
        recording.record("tripod-none", Host())


def test_the_loopback_is_printed_as_json(capsys):
    parser = argparse.ArgumentParser()
    recording.add_arguments(parser)
    assert recording.run(parser.parse_args(["lo"])) == 0
    assert json.loads(capsys.readouterr().out)["nic"]["link"]["name"] == "lo"
