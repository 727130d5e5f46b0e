"""How a NIC's queues are polled: planned, restored, refused where the kernel lacks it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.hints import hints
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.limits import faults
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.original import previous
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.parse import parse
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.plan import hardware
from ansible_collections.tripod.baremetal.plugins.module_utils._nic.state import NicState

from .nics import host, nic, target

AT_BOOT = {"defer_hard_irqs": 0, "gro_flush_timeout": 0, "threaded": False}
VETH = nic("veth", napi=AT_BOOT)


def steps(state, **options):
    request = parse({"name": state.name, **options})
    return [(*one.path[1:], one.before, one.after) for one in hardware(request, state)]


def test_only_what_differs_is_set():
    napi = {"defer_hard_irqs": 2, "gro_flush_timeout": 0, "threaded": False}
    assert steps(VETH, napi=napi) == [("napi", "defer_hard_irqs", 0, 2)]


def test_threads_start_after_the_feature_that_has_queues_polled_and_end_before_it_goes():
    assert [step[0] for step in steps(VETH, napi={"threaded": True}, features={"gro": True})] == ["features", "napi"]
    polled = nic("veth", napi={**AT_BOOT, "threaded": True})
    gro = dict(polled.settings.features)
    gro["rx-gro"] = replace(gro["rx-gro"], active=True)
    polled = nic("veth", napi=polled.napi, features=gro)
    ended = steps(polled, napi={"threaded": False}, features={"gro": False})
    assert [step[0] for step in ended] == ["napi", "features"]


def test_what_was_before_comes_back():
    request = parse({"name": VETH.name, "napi": {"gro_flush_timeout": 20000, "threaded": True}})
    assert previous(request, VETH, host(VETH)).napi == {"gro_flush_timeout": 0, "threaded": False}


def test_it_survives_the_record():
    assert NicState.from_json(VETH.to_json()) == VETH


@pytest.mark.parametrize(
    ("held", "options", "words"),
    [
        ({"gro_flush_timeout": 0}, {"threaded": True}, "napi.threaded: this kernel has no threaded (Linux 5.12"),
        ({"gro_flush_timeout": 0}, {"defer_hard_irqs": 1}, "napi.defer_hard_irqs: this kernel has no napi_defer_hard"),
    ],
)
def test_what_the_kernel_lacks_is_refused(held, options, words):
    state = nic("veth", napi=held)
    [reason] = faults([target(state, napi=options)], host(state))[0]
    assert words in reason


@pytest.mark.parametrize(
    ("held", "options", "warned"),
    [
        (AT_BOOT, {"defer_hard_irqs": 2}, True),
        (AT_BOOT, {"defer_hard_irqs": 2, "gro_flush_timeout": 20000}, False),
        ({**AT_BOOT, "gro_flush_timeout": 20000}, {"defer_hard_irqs": 2}, False),
        (AT_BOOT, {"defer_hard_irqs": 0}, False),
    ],
)
def test_deferring_without_a_timeout_is_warned_of(held, options, warned):
    state = nic("veth", napi=held)
    request = parse({"name": state.name, "napi": options})
    assert any("defers nothing" in one for one in hints(request, state)) is warned
