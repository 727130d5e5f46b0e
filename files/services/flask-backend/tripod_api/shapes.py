"""What the API answers: the models of the OpenAPI document, to which the tests hold every answer.

Words that a newer release may add to, such as verdicts, reasons and states, are plain strings here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .scopes import Role


class Shape(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(extra="forbid")


class Problem(Shape):
    """An error, as RFC 9457 has it."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str = Field(description="For persons: what is wrong, and the way out.")
    code: str = Field(description="For programs; stays the same where the words change.", pattern="^[a-z0-9_]+$")
    request_id: str
    error: str = Field(description="The same as `detail`, where release 1.0.0 had it.", deprecated=True)


class Health(Shape):
    """That it lives, or is ready."""

    status: Literal["healthy", "ready"]


class Release(Shape):
    """Which release this is."""

    status: Literal["ok"]
    version: str
    build_epoch: int | None = Field(default=None, description="Unix time of the build.")


class Greeting(Shape):
    """A greeting."""

    message: str
    role: Role


class User(Shape):
    """An account."""

    id: int
    email: str
    full_name: str
    role: str = Field(description="admin, maintainer or viewer; newer releases may have others.")
    is_active: bool
    created_at: datetime
    etag: str = Field(default="", description="What a change of it sends as `If-Match`.")


class Pagination(Shape):
    """Where a page is in its list."""

    page: int
    per_page: int
    total: int
    pages: int


class UserPage(Shape):
    """A page of accounts."""

    users: list[User]
    pagination: Pagination


class Grant(Shape):
    """What a session is held by."""

    success: Literal[True]
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Life of the access token (seconds).")
    user: User


class Session(Shape):
    """A session of one's own."""

    id: int
    created_at: datetime
    expires_at: datetime
    current: bool = Field(description="The one that asks.")


class SessionList(Shape):
    """One's own sessions, the oldest first."""

    sessions: list[Session]


class Token(Shape):
    """An API token of one's own."""

    id: int
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = Field(description="The last time, to the minute; null where there was none.")


class CreatedToken(Token):
    """A new API token."""

    token: str = Field(description="What to send as `Authorization: Bearer`; no other answer has it.")


class TokenList(Shape):
    """One's own API tokens that are good, the oldest first."""

    tokens: list[Token]


class AuditEntry(Shape):
    """A change that somebody made."""

    id: int
    time: datetime
    request_id: str
    user_id: int | None = Field(description="Null of a command on the host.")
    account: str = Field(description="Who did it, or by which command on the host.")
    token_id: int | None = Field(description="The API token it came by; null of a session.")
    client: str = Field(description="The client's address.")
    action: str
    target: str
    was: dict[str, Any] | None = Field(description="What it was; null where there was nothing, or it does not say.")
    became: dict[str, Any] | None = Field(description="Likewise, afterwards.")


class AuditPage(Shape):
    """A page of the audit trail, the newest first."""

    entries: list[AuditEntry]
    next: int | None = Field(description="What to ask for `before` to go on; null at the end.")


class Program(Shape):
    """An XDP program, as the kernel knows it."""

    id: int
    name: str
    tag: str = Field(description="The kernel's digest of the instructions (hex).")


class Trouble(Shape):
    """One thing that is not as it should be."""

    interface: str | None = Field(description="Null where it is nobody's alone.")
    state: str = Field(description='One word, e.g. "detached"; see the gRPC contract for all.')
    problem: str = Field(description="What is wrong and what to do.")


class Attachment(Shape):
    """A program on an interface."""

    name: str
    mode: str
    program: Program


class DataplaneStatus(Shape):
    """Whether go-backend serves, and what is attached where."""

    reachable: bool
    status: str
    interfaces: list[Attachment]
    problems: list[Trouble]


class Counter(Shape):
    """What has met one verdict for one reason."""

    verdict: str
    reason: str
    packets: int
    bytes: int


class CountedInterface(Attachment):
    """The counters of an interface."""

    counters: list[Counter]


class DataplaneStats(Shape):
    """The counters of every interface that has any to give."""

    timestamp: datetime
    interfaces: list[CountedInterface]
    problems: list[Trouble]


class Rates(Shape):
    """What met one verdict for one reason, in each step."""

    verdict: str
    reason: str
    packets: list[int | None] = Field(description="In the known part of a step; null where nothing is known.")
    bytes: list[int | None] = Field(description="Likewise.")


class InterfaceRates(Shape):
    """What an interface counted."""

    name: str
    known_ms: list[int] = Field(
        description="For how much of each step it is known what was counted (milliseconds); 0 is a gap."
    )
    rates: list[Rates] = Field(description="Of what met a packet within these steps.")


class DataplaneHistory(Shape):
    """What was counted in steps, the oldest first."""

    begin: datetime | None = Field(description="Of the first step; null where there is none yet.")
    step_seconds: int
    interfaces: list[InterfaceRates] = Field(description="Those that were read within these steps, gone ones too.")
    left_out: int = Field(description="Counters for which there was no room, as there is for 64; usually 0.")


class Reader(Shape):
    """Whether a token is good for the stream of events."""

    allowed: bool
    status: int = Field(description="What the stream would answer.")
    code: str | None = Field(description="Why not; null where it is allowed.")
    detail: str | None = Field(description="Likewise, for persons.")


class Readers(Shape):
    """Whether tokens are good for the stream of events, in the order in which they were asked about."""

    readers: list[Reader]


class PartCounter(Shape):
    """What a list, rule, limit or service has met."""

    part: str
    id: str
    packets: int
    bytes: int
    observed_packets: int
    observed_bytes: int
    last: datetime | None = Field(description="Of the last packet; null where there was none.")


class CountedParts(Shape):
    """The parts of the policy of an interface."""

    name: str
    parts: list[PartCounter]


class DataplaneParts(Shape):
    """What each part of the policies has met."""

    timestamp: datetime
    interfaces: list[CountedParts]


class Step(Shape):
    """What one part of a policy said of a frame."""

    part: str = Field(description='One word, e.g. "list"; see the gRPC contract for all.')
    id: str | None = Field(description="Its name in the policy; null for those that there is one of.")
    says: str = Field(description="A verdict where it decided, or would have; else what it was.")
    observed: bool = Field(description="In observe mode: it changed nothing.")


class Would(Shape):
    """What the first part in observe mode that had a say would have made of a frame."""

    verdict: str
    reason: str


class TraceResult(Shape):
    """What a program does with a frame, why, and by whose word."""

    interface: str
    verdict: str
    reason: str
    would: Would | None
    path: list[Step] = Field(description="Who said something, in the order of the questions.")
    extended: bool = Field(description="Somebody else's program is asked after ours.")
    program: Program


class Part(Shape):
    """A part of a policy; the rest of it is the agent's."""

    model_config = ConfigDict(extra="allow")

    action: str = ""
    limit: str = ""
    mode: str = "enforce"
    owner: str = ""
    comment: str = ""


class NamedPart(Part):
    """A list, limit or service."""

    name: str


class RulePart(Part):
    """A rule."""

    id: str


class PolicyDocument(Shape):
    """A policy, all owners' parts; long lists are shortened."""

    model_config = ConfigDict(extra="allow")

    lists: list[NamedPart] = []
    rules: list[RulePart] = []
    limits: list[NamedPart] = []
    services: list[NamedPart] = []
    default: str = "pass"
