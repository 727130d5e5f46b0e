"""What a caller may send. Types are strict: ``"false"`` is no boolean, and an unknown key is an error."""

from __future__ import annotations

import ipaddress
import json
import re
import unicodedata
from typing import Annotated, Any, Literal, TypeVar

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from flask import request
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from werkzeug.exceptions import UnsupportedMediaType

from .config import PASSWORD_LENGTH
from .errors import ApiError
from .passwords import PASSWORD_BYTES, normal
from .scopes import Role, Scope

ADDRESS_LENGTH = 254
FRAME_BYTES = 65535
# The database's BIGINT; a larger number in a path is simply nobody's.
LARGEST_ID = (1 << 63) - 1
BAN_SECONDS = 31 * 86400
# The web interface's server waits for half a minute for a byte, and a thread has no more patience than that.
CAPTURE_SECONDS = 25

# Sites without public DNS have addresses like admin@lab.local.
for _private in ("local", "localhost", "test"):
    if _private in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_private)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("control characters are not allowed")
    return value


def _address(value: str) -> str:
    try:
        found = validate_email(value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise ValueError(str(error).rstrip(".")) from None
    # In lower case some letters become two.
    address = unicodedata.normalize("NFC", found.normalized.lower())
    if len(address) > ADDRESS_LENGTH:
        raise ValueError(f"at most {ADDRESS_LENGTH} characters are allowed")
    return address


def sign_in_address(typed: str) -> str | None:
    """Return the form in which accounts hold an address, whichever way it was typed; None where it is none."""
    try:
        return _address(typed.strip())
    except ValueError:
        return None


def _password(value: str) -> str:
    value = normal(value)
    if len(value) < PASSWORD_LENGTH:
        raise ValueError(f"at least {PASSWORD_LENGTH} characters are needed")
    if len(value.encode()) > PASSWORD_BYTES:
        raise ValueError(f"at most {PASSWORD_BYTES} bytes in UTF-8 are allowed")
    if "\0" in value:
        raise ValueError("NUL is not allowed")
    return value


def _frame(value: str) -> str:
    try:
        bytes.fromhex(value)
    except ValueError:
        raise ValueError("expected pairs of hexadecimal digits") from None
    return value


def _json(value: dict[str, Any]) -> dict[str, Any]:
    # The parser takes NaN, and numbers that are too large for one.
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("a number is not finite, and JSON has no others") from None
    return value


def _prefix(value: str) -> str:
    if value:
        ipaddress.ip_network(value, strict=False)
    return value


WHOLE = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
Moment = Annotated[AwareDatetime | None, Field(description="With its zone, as 2026-01-01T00:00:00Z.")]
Email = Annotated[str, Field(max_length=ADDRESS_LENGTH), AfterValidator(_address)]
Password = Annotated[str, Field(min_length=PASSWORD_LENGTH), AfterValidator(_password)]
FullName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Interface = Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[!-.0-9;-~]+$")]
Frame = Annotated[str, Field(min_length=28, max_length=2 * FRAME_BYTES), AfterValidator(_frame)]


# Revisions are the agent's 64-bit numbers.
Number = Annotated[int, Field(ge=0, lt=1 << 63)]
Comment = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Address = Annotated[str, Field(min_length=2, max_length=45)]
# 0 is for a change that stays at once. The agent needs a moment, and nobody remembers a change for longer.
ConfirmSeconds = Annotated[int, Field(ge=0, le=3600)]


WorkerName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]

# Of a key that may be left out, and is no null where it is there.
UNSET: Any = Field(default_factory=lambda: None)


class Body(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Login(Body):
    """Not held to the rules for new accounts: a wrong guess gets 401, whatever its form."""

    email: Annotated[str, Field(max_length=ADDRESS_LENGTH)]
    password: Annotated[str, Field(max_length=1024)]


class Refresh(Body):
    """The token of the last sign-in or refresh."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=256)]


class NewPassword(Body):
    """One's own password, changed by whoever knows it."""

    current_password: Annotated[str, Field(max_length=1024)]
    new_password: Password


class NewToken(Body):
    """An API token to make."""

    name: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]
    days: Annotated[int, Field(ge=1, le=366)]


class NewUser(Body):
    """An account to create."""

    email: Email
    password: Password
    full_name: FullName
    role: Role


class UserChange(Body):
    """What to change of an account; at least one key."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    email: Email = UNSET
    password: Password = UNSET
    full_name: FullName = UNSET
    role: Role = UNSET
    is_active: bool = UNSET

    @model_validator(mode="after")
    def _something(self) -> UserChange:
        if not self.model_fields_set:
            raise ValueError("nothing to change: give one of email, password, full_name, role, is_active")
        return self


class Trace(Body):
    """A frame to run through an interface's program."""

    interface: Interface
    frame: Frame


class Draft(Body):
    """This API's part of a policy; the host's agent judges what is in it."""

    document: Annotated[dict[str, Any], AfterValidator(_json)]
    expected: Number | None = None
    confirm_seconds: ConfirmSeconds = 0
    name: Annotated[str, Field(max_length=64), AfterValidator(_printable)] = ""
    why: Comment = ""


class Confirmation(Body):
    """The revision to keep."""

    revision: Number


class Return(Body):
    """The revision to go back to; the one before where none is named."""

    revision: Number | None = None
    confirm_seconds: ConfirmSeconds = 0


class NewBan(Body):
    """An address to drop for a while."""

    address: Address
    seconds: Annotated[int, Field(ge=1, le=BAN_SECONDS)]
    comment: Comment = ""


class PartDraft(Body):
    """A part of a policy; the host's agent judges what is in it."""

    part: Annotated[dict[str, Any], AfterValidator(_json)]
    confirm_seconds: ConfirmSeconds = 0
    why: Comment = ""


class Move(Body):
    """The CPUs of a worker's queues, one for each, in their order."""

    cpus: Annotated[list[Annotated[int, Field(ge=0, le=8191)]], Field(min_length=1, max_length=256)]


class NewCapture(Body):
    """Which packets of a worker, and how many at most: it ends with the first limit that is reached."""

    worker: WorkerName
    # tcpdump's language.
    filter: Annotated[str, Field(max_length=1000), AfterValidator(_printable)] = ""
    packets: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    bytes: Annotated[int, Field(ge=4096, le=64 << 20)] = 16 << 20
    seconds: Annotated[int, Field(ge=1, le=CAPTURE_SECONDS)] = 10
    snap_length: Annotated[int, Field(ge=14, le=256 << 10)] = 256 << 10


class Tokens(Body):
    """Tokens of those who read the stream of events."""

    tokens: Annotated[list[Annotated[str, Field(max_length=600)]], Field(max_length=256)]


class Query(BaseModel):
    """What a query string holds, where all is text: its numbers are digits alone."""

    @field_validator("*", mode="before")
    @classmethod
    def _whole(cls, value: Any, told: ValidationInfo) -> Any:
        # Pydantic takes "1_0", " 1", "1.0" and other scripts' digits, and whoever stands before us may not.
        number = told.field_name is not None and cls.model_fields[told.field_name].annotation is int
        if number and isinstance(value, str) and not WHOLE.fullmatch(value):
            raise ValueError("expected a whole number")
        return value


class BanPage(Query):
    """A window on the bans: those behind an address."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=45)] = ""


class Drops(Query):
    """The newest of the packets that were dropped, or would have been, of what is named."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    interface: Annotated[str, Field(max_length=15), AfterValidator(_printable)] = ""
    reason: Annotated[str, Field(max_length=32), AfterValidator(_printable)] = ""
    part: Annotated[str, Field(max_length=80), AfterValidator(_printable)] = ""


class DropPage(Query):
    """A window on the samples that are kept: those before one, of a time and of a source's prefix."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    before: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0
    since: Moment = None
    until: Annotated[Moment, Field(description="Those before it.")] = None
    source: Annotated[str, Field(max_length=49, description="As 192.0.2.0/24."), AfterValidator(_prefix)] = ""


class Steps(Query):
    """The last steps of a resolution."""

    resolution: Literal["second", "ten_seconds", "five_minutes"] = "second"
    steps: Annotated[int, Field(ge=0, le=10_000, description="The last so many; 0 for all.")] = 0


class Events(Query):
    """Where a stream of events begins without `Last-Event-ID`, and how long it goes on."""

    begin: Literal["latest", "oldest"] = "latest"
    seconds: Annotated[int, Field(ge=1, le=3600)] = 3600


class OfPolicy(Query):
    """Parts of one policy, or of all."""

    policy: Annotated[str, Field(max_length=32)] = ""


class PartRemoval(Query):
    """How a part is taken away."""

    confirm_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    why: Comment = ""


class OfWorker(Query):
    """What is told of one worker, or of all."""

    worker: WorkerName | None = None


class AuditPage(Query):
    """A window on the audit trail: entries before one."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    before: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0


class AuditExport(Query):
    """All entries of the audit trail after one."""

    after: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0


class Page(Query):
    """A window on a long list."""

    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Field(ge=1, le=100)] = 20


BodyType = TypeVar("BodyType", bound=Body)


def body(model: type[BodyType]) -> BodyType:
    """Return the request's body as the model.

    Raises:
        UnsupportedMediaType: It is not declared as JSON.
        pydantic.ValidationError: It is not JSON, or not of this form.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("The body must be sent as application/json.")
    return model.model_validate_json(request.get_data())


QueryType = TypeVar("QueryType", bound=Query)


def query(model: type[QueryType]) -> QueryType:
    """Return the request's query as the model; what it does not know is left alone.

    Raises:
        ApiError: 422 where something is said twice, as nobody knows which is meant.
        pydantic.ValidationError: It is not of this form.
    """
    known: dict[str, Any] = {name: request.args[name] for name in model.model_fields if name in request.args}
    if twice := [name for name in known if len(request.args.getlist(name)) > 1]:
        raise ApiError(422, "invalid_input", f"{', '.join(twice)}: say it once.")
    return model.model_validate(known)
