"""The host's agent, which keeps policies and bans: go-backend carries the questions to it.

What a policy may say is the agent's to judge; it travels as it is.
"""

from __future__ import annotations

import json
import time
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from .channel import Channel, Circuit, Confidential
from .gen import host_pb2
from .gen import policy_pb2 as pb
from .gen.host_pb2_grpc import HostServiceStub
from .gen.policy_pb2_grpc import PolicyServiceStub
from .preconditions import quoted
from .schemas import BanPage, Draft, Drops, NewBan, Return

# A policy of a million entries is compiled and loaded within a few seconds; the web interface waits for half a minute.
CHANGE_DEADLINE = 25.0
ANSWERS = {
    grpc.StatusCode.INVALID_ARGUMENT: (422, "invalid_policy"),
    grpc.StatusCode.NOT_FOUND: (404, "not_found"),
    grpc.StatusCode.ABORTED: (409, "conflict"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "policy_refused"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "busy"),
    # It went wrong on the way, and the message says what is in force.
    grpc.StatusCode.INTERNAL: (500, "policy_failed"),
}
AWAY = (
    "policy_unavailable",
    "The host's agent, or the control service that asks it, does not answer; what is loaded goes on filtering.",
)


class Agent(Confidential):
    """The agent's questions and answers.

    Every question raises an ApiError where it is refused, with each reason on a line of its own, or not answered.

    Args:
        channel: The way to go-backend.
        secret: What it takes for these questions; None where this service was given none.
    """

    def __init__(self, channel: Channel, secret: str | None) -> None:
        super().__init__(Circuit("policy", channel, ANSWERS, *AWAY), secret, AWAY[0])

    def policies(self) -> dict[str, Any]:
        """Return every policy of the host, and how many bans are in force."""
        found: pb.ListPoliciesResponse = self._ask(
            lambda channel: _stub(channel).ListPolicies, pb.ListPoliciesRequest()
        )
        return {"policies": [_state(policy) for policy in found.policies], "bans": found.bans}

    def policy(self, name: str) -> dict[str, Any]:
        """Return a policy in force, and the part of it that belongs to this API."""
        found: pb.GetPolicyResponse = self._ask(
            lambda channel: _stub(channel).GetPolicy, pb.GetPolicyRequest(policy=name)
        )
        return {
            **_state(found.state),
            "document": json.loads(found.document),
            "own": json.loads(found.own),
            "etag": revision_tag(found.state.revision),
        }

    def put(self, name: str, draft: Draft, by: str, dry_run: bool = False) -> dict[str, Any]:
        """Replace this API's part of a policy, or tell what would become of it.

        Args:
            name: The policy.
            draft: All of the part, and what the change depends on.
            by: Who asks.
            dry_run: Change nothing.
        """
        asked = pb.PutPolicyRequest(
            policy=name,
            # As large as it came: go-backend takes no more than a body may have.
            document=json.dumps(draft.document, ensure_ascii=False, separators=(",", ":")),
            expected=draft.expected,
            confirm_seconds=draft.confirm_seconds,
            dry_run=dry_run,
            name=draft.name,
            why=draft.why,
            by=by,
        )
        return _change(self._ask(lambda channel: _stub(channel).PutPolicy, asked, CHANGE_DEADLINE))

    def confirm(self, name: str, revision: int, by: str) -> int:
        """Keep a change that would be taken back otherwise; return its revision."""
        asked = pb.ConfirmRequest(policy=name, revision=revision, by=by)
        kept: pb.ConfirmResponse = self._ask(lambda channel: _stub(channel).Confirm, asked, CHANGE_DEADLINE)
        return kept.revision

    def revert(self, name: str, back: Return, by: str, expected: int | None = None) -> dict[str, Any]:
        """Put this API's part back to what it was, where the expected revision is in force."""
        asked = pb.RevertRequest(
            policy=name, revision=back.revision, confirm_seconds=back.confirm_seconds, by=by, expected=expected
        )
        return _change(self._ask(lambda channel: _stub(channel).Revert, asked, CHANGE_DEADLINE))

    def history(self, name: str) -> list[dict[str, Any]]:
        """Return who changed a policy, when, and how; the newest first."""
        found: pb.HistoryResponse = self._ask(lambda channel: _stub(channel).History, pb.HistoryRequest(policy=name))
        return [_revision(revision) for revision in found.revisions]

    def in_force_since(self, name: str, revision: int) -> float | None:
        """Return when a revision came into force (Unix time); None where the history does not have it."""
        found: pb.HistoryResponse = self._ask(lambda channel: _stub(channel).History, pb.HistoryRequest(policy=name))
        return next((_unix(one.time) for one in found.revisions if one.revision == revision), None)

    def bans(self, window: BanPage) -> dict[str, Any]:
        """Return a page of the bans in force, by address, and how many there are."""
        asked = pb.ListBansRequest(limit=window.limit, after=window.after)
        found: pb.ListBansResponse = self._ask(lambda channel: _stub(channel).ListBans, asked)
        return {"bans": [_ban(ban) for ban in found.bans], "total": found.total}

    def ban(self, wanted: NewBan, by: str) -> dict[str, Any]:
        """Drop everything from an address for a while."""
        asked = pb.BanRequest(address=wanted.address, seconds=wanted.seconds, comment=wanted.comment, by=by)
        made: pb.BanResponse = self._ask(lambda channel: _stub(channel).Ban, asked)
        return _ban(made.ban)

    def unban(self, address: str, by: str) -> None:
        """Take a ban back."""
        self._ask(lambda channel: _stub(channel).Unban, pb.UnbanRequest(address=address, by=by))

    def samples(self, window: Drops) -> list[dict[str, Any]]:
        """Return the last packets that were dropped, or would have been, the newest first."""
        asked = pb.ListSamplesRequest(**window.model_dump())
        found: pb.ListSamplesResponse = self._ask(lambda channel: _stub(channel).ListSamples, asked)
        return [_sample(sample) for sample in found.samples]

    def topology(self) -> tuple[str, dict[str, Any]]:
        """Return what the host calls itself, and what it is made of, as the module host_topology_info tells it."""
        found: host_pb2.GetTopologyResponse = self._ask(
            lambda channel: HostServiceStub(channel).GetTopology,  # type: ignore[no-untyped-call]
            host_pb2.GetTopologyRequest(),
        )
        return found.name, json.loads(found.document)


def _stub(channel: grpc.Channel) -> PolicyServiceStub:
    return PolicyServiceStub(channel)  # type: ignore[no-untyped-call]


def revision_tag(revision: int) -> str:
    """Return the tag of a policy at a revision, which goes up with each change, whoever makes it."""
    return quoted(str(revision))


def _state(state: pb.PolicyState) -> dict[str, Any]:
    return {
        "name": state.name,
        "digest": state.digest,
        "interfaces": list(state.interfaces),
        "revision": state.revision,
        "pending": _pending(state),
    }


def _pending(holder: pb.PolicyState | pb.PutPolicyResponse) -> dict[str, Any] | None:
    if not holder.HasField("pending"):
        return None
    pending = holder.pending
    return {
        "revision": pending.revision,
        "deadline": pending.deadline.ToJsonString(),
        # By this host's clock, as a browser's may be minutes off.
        "seconds_left": round(max(0.0, _unix(pending.deadline) - time.time()), 1),
        "by": pending.by or None,
    }


def _unix(moment: Timestamp) -> float:
    return moment.ToNanoseconds() / 1e9


def _change(made: pb.PutPolicyResponse) -> dict[str, Any]:
    return {
        "changed": made.changed,
        "revision": made.revision,
        "pending": _pending(made),
        "summary": list(made.summary),
        "warnings": list(made.warnings),
        "flips": [{"frame": flip.frame, "before": flip.before, "after": flip.after} for flip in made.flips],
    }


def _revision(revision: pb.Revision) -> dict[str, Any]:
    return {
        "revision": revision.revision,
        "time": revision.time.ToJsonString(),
        "owner": revision.owner,
        "by": revision.by or None,
        "name": revision.name,
        "why": revision.why,
        "digest": revision.digest,
        "summary": list(revision.summary),
        "state": revision.state,
    }


def _ban(ban: pb.Banned) -> dict[str, Any]:
    return {
        "address": ban.address,
        "until": ban.until.ToJsonString(),
        "owner": ban.owner,
        "by": ban.by or None,
        "comment": ban.comment,
        "packets": ban.packets,
    }


def _sample(sample: pb.Sample) -> dict[str, Any]:
    told = ("source", "destination", "protocol", "source_port", "destination_port", "vlan")
    return {
        "time": sample.time.ToJsonString(),
        "interface": sample.interface,
        "queue": sample.queue,
        "verdict": sample.verdict,
        "reason": sample.reason,
        "part": sample.part or None,
        "would": sample.would or None,
        "would_reason": sample.would_reason or None,
        "would_part": sample.would_part or None,
        "length": sample.length,
        "frame": sample.frame.hex(),
        **{name: getattr(sample, name) if sample.HasField(name) else None for name in told},
    }
