"""What the API answers of policies and bans; see shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from .shapes import PolicyDocument, Shape


class Pending(Shape):
    """A change that is in force, and will be taken back unless it is confirmed."""

    revision: int
    deadline: datetime
    seconds_left: float = Field(description="Until the deadline, by the host's clock (seconds).")
    by: str | None


class PolicyState(Shape):
    """A policy of the host."""

    name: str
    digest: str = Field(description="SHA-256 of the whole policy (hex).")
    interfaces: list[str]
    revision: int
    pending: Pending | None


class Policies(Shape):
    """Every policy of the host."""

    policies: list[PolicyState]
    bans: int = Field(description="How many are in force.")


class Policy(PolicyState):
    """A policy in force."""

    document: PolicyDocument
    own: dict[str, Any] = Field(description="The part that belongs to the API, whole.")
    etag: str = Field(default="", description="What a change of it sends as `If-Match`.")


class Flip(Shape):
    """A frame that is judged differently."""

    frame: str
    before: str
    after: str


class PolicyChange(Shape):
    """What became, or would become, of a policy."""

    changed: bool
    revision: int
    pending: Pending | None
    summary: list[str] = Field(description="What is different, a sentence for each part.")
    warnings: list[str] = Field(description="What whoever wrote the document may not expect of it.")
    flips: list[Flip] = Field(description="The frames that are judged differently.")


class PolicyConfirmation(Shape):
    """The revision that stays."""

    revision: int


class Revision(Shape):
    """Who changed a policy, when and how."""

    revision: int
    time: datetime
    owner: str
    by: str | None
    name: str
    why: str
    digest: str
    summary: list[str]
    state: str


class PolicyHistory(Shape):
    """The last revisions, the newest first."""

    revisions: list[Revision]


class Ban(Shape):
    """An address that is dropped for a while."""

    address: str
    until: datetime
    owner: str
    by: str | None
    comment: str
    packets: int


class BanPage(Shape):
    """A page of the bans in force, by address."""

    bans: list[Ban]
    total: int


class PolicyPart(Shape):
    """A list, rule, limit or service of a policy, and what it has met on the policy's interfaces together."""

    policy: str
    id: str = Field(description="Its name in the policy.")
    owner: str = Field(description="Only those of `api` are changed here.")
    part: dict[str, Any] = Field(description="What it says; the entries of somebody else's long list are shortened.")
    etag: str = Field(description="What a change of it sends as `If-Match`.")
    packets: int
    bytes: int
    observed_packets: int
    observed_bytes: int
    last: datetime | None = Field(description="Of the last packet; null where there was none.")


class PolicyParts(Shape):
    """Parts of policies, in the order in which they are asked."""

    parts: list[PolicyPart]
