"""Samples to try things on."""

from __future__ import annotations

from ansible_collections.tripod.baremetal.plugins.module_utils._samples.sample import Sample

from tests.integration import frames

TIME = 1_764_000_000_123_456_789
FRAME = frames.ethernet(frames.IPV4, frames.ipv4("192.0.2.9", frames.TCP_HEADER, frames.TCP))


def sample(frame: bytes = FRAME, **fields: object) -> Sample:
    """Return what became of a frame that a rule dropped, but for what is given."""
    whole = Sample(
        time=TIME,
        interface="ens1",
        ifindex=7,
        queue=3,
        length=len(frame),
        frame=frame[:128],
        verdict="drop",
        reason="rule_drop",
        part="rule:no-snmp",
    )
    return whole._replace(**fields)


def observed(frame: bytes = FRAME, **fields: object) -> Sample:
    """Return what became of a frame that an observed list would have dropped."""
    given = {
        "verdict": "pass",
        "reason": "no_rule",
        "part": "",
        "would": "drop",
        "would_reason": "list_drop",
        "would_part": "list:scanners",
    }
    return sample(frame, **{**given, **fields})
