"""The engine's messages as the supervisor reads them."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._agent.engine_api import Event

ID = "4f1c" * 16


def test_an_event_is_read_as_the_engine_sends_it():
    message = {
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": ID, "Attributes": {"exitCode": "137", "name": "tripod-webui"}},
        "time": 1795411200,
        "timeNano": 1795411200123456789,
    }
    assert Event.from_json(message) == Event("die", ID, "tripod-webui", 1795411200123456789)
