"""What a caller may send. Types are strict: ``"false"`` is no boolean, and an unknown key is an error."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal, TypeVar

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from flask import request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from werkzeug.exceptions import UnsupportedMediaType

from .config import PASSWORD_LENGTH
from .passwords import PASSWORD_BYTES, normal

ADDRESS_LENGTH = 254
FRAME_BYTES = 65535

# Sites without public DNS have addresses like admin@lab.local.
for _private in ("local", "localhost", "test"):
    if _private in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_private)

Role = Literal["admin", "maintainer", "viewer"]


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


Email = Annotated[str, Field(max_length=ADDRESS_LENGTH), AfterValidator(_address)]
Password = Annotated[str, Field(min_length=PASSWORD_LENGTH), AfterValidator(_password)]
FullName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Interface = Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[!-.0-9;-~]+$")]
Frame = Annotated[str, Field(min_length=28, max_length=2 * FRAME_BYTES), AfterValidator(_frame)]


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


class NewUser(Body):
    """An account to create."""

    email: Email
    password: Password
    full_name: FullName
    role: Role


class UserChange(Body):
    """What to change of an account; at least one key."""

    email: Email | None = None
    password: Password | None = None
    full_name: FullName | None = None
    role: Role | None = None
    is_active: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> UserChange:
        if not self.model_fields_set:
            raise ValueError("nothing to change: give one of email, password, full_name, role, is_active")
        missing = sorted(name for name in self.model_fields_set if getattr(self, name) is None)
        if missing:
            raise ValueError(f"{', '.join(missing)}: null is not allowed; leave out what should stay")
        return self


class Trace(Body):
    """A frame to run through an interface's program."""

    interface: Interface
    frame: Frame


class Page(BaseModel):
    """A window on a long list, from the query string."""

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


def page() -> Page:
    """Return the page asked for."""
    known: dict[str, Any] = {name: request.args[name] for name in Page.model_fields if name in request.args}
    return Page.model_validate(known)
