"""Accounts: their REST resource, and the first admin."""

from __future__ import annotations

import math
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydal import DAL
from pydantic import ValidationError

from . import audit, shapes, trail
from .api_tokens import revoke_tokens
from .config import ConfigError, Settings
from .context import principal, services
from .database import ACCOUNTS_LOCK, Database, now
from .errors import ApiError, explain
from .operations import operation
from .passwords import Passwords, judge
from .preconditions import require_match, tag, tagged
from .schemas import NewUser, Page, UserChange
from .scopes import OF_ROLE, Role, Scope
from .sessions import revoke_all
from .standing import changed
from .throttle import network
from .trail import Entry

blueprint = Blueprint("users", __name__, url_prefix="/api/v1/users")

ONE = "/<row:user_id>"


def public(user: Any) -> dict[str, Any]:
    """Return what the API tells of an account."""
    return {
        "id": user.id,
        "email": user.email,
        "full_name": user.full_name,
        "role": user.role,
        "is_active": bool(user.is_active),
        "created_at": f"{user.created_at.isoformat()}Z",
    }


def shown(user: Any) -> dict[str, Any]:
    """Return the same with the tag of what can be edited of it, among which is the password."""
    told = public(user)
    # A salted hash, of which nobody learns anything from a hash.
    return {**told, "etag": tag(told, user.password_hash)}


def create_first_admin(database: Database, passwords: Passwords, settings: Settings) -> bool:
    """Create the account that can create all others, unless there is an admin already.

    Raises:
        ConfigError: There is none, and no password to make one with.
    """
    with database.transaction() as db:
        if _active_admins(db):
            return False
    admin = _first_admin(settings)
    # Before the lock that all replicas wait for, and outside of a transaction's deadline.
    password_hash = passwords.hash(admin.password)
    with database.transaction(lock=ACCOUNTS_LOCK) as db:
        if _active_admins(db):
            return False
        if db(db.users.email == admin.email).count():
            raise ConfigError(
                f"there is no active admin, and ADMIN_EMAIL {admin.email} is another account's; choose another"
            )
        user = _insert(db, admin, password_hash)
        trail.add(db, Entry("user created", f"user {user.id}", "the deployment", became=public(user)))
    return True


def _first_admin(settings: Settings) -> NewUser:
    if settings.admin_password is None:
        raise ConfigError("there is no active admin yet, and ADMIN_PASSWORD_FILE names no file to create one with")
    given = {"email": settings.admin_email, "password": settings.admin_password}
    try:
        admin = NewUser(full_name="Administrator", role="admin", **given)
        judge(admin.password, [admin.email])
    except ValidationError as error:
        raise ConfigError(f"the first admin (ADMIN_EMAIL, ADMIN_PASSWORD_FILE): {explain(error)}") from None
    except ApiError as error:
        raise ConfigError(f"the first admin (ADMIN_PASSWORD_FILE): {error.message}") from None
    return admin


@operation(blueprint, "GET", "", Scope.USERS_READ, window=Page, gives=shapes.UserPage)
def list_users(window: Page) -> Response:
    """List accounts, oldest first."""
    first = (window.page - 1) * window.per_page
    with services().database.transaction() as db:
        total = db(db.users).count()
        rows = db(db.users).select(orderby=db.users.id, limitby=(first, first + window.per_page))
    return jsonify(
        users=[shown(row) for row in rows],
        pagination={
            "page": window.page,
            "per_page": window.per_page,
            "total": total,
            "pages": math.ceil(total / window.per_page),
        },
    )


@operation(
    blueprint,
    "POST",
    "",
    Scope.USERS_WRITE,
    takes=NewUser,
    gives=shapes.User,
    status=201,
    refusals=(409, 429),
    writes="user created",
    keyed=True,
)
def create_user(wanted: NewUser) -> tuple[Response, int]:
    """Create an account."""
    _require_session()
    judge(wanted.password, [wanted.email, wanted.full_name])
    password_hash = _hash(wanted.password)
    with services().database.transaction() as db:
        _claim(db, wanted.email)
        user = _insert(db, wanted, password_hash)
        audit.record(db, f"user {user.id}", None, public(user))
    return jsonify(shown(user)), 201


@operation(blueprint, "GET", ONE, Scope.USERS_READ, gives=shapes.User, refusals=(404,), etag=True)
def show_user(user_id: int) -> Response:
    """Show one account."""
    with services().database.transaction() as db:
        return _tagged(_find(db, user_id))


@operation(
    blueprint,
    "PUT",
    ONE,
    Scope.USERS_WRITE,
    takes=UserChange,
    gives=shapes.User,
    refusals=(404, 409, 429),
    writes="user changed",
    etag=True,
    if_match=True,
)
def change_user(user_id: int, wanted: UserChange) -> Response:
    """Change an account; a new password or a deactivation ends its sessions and API tokens."""
    changes = wanted.model_dump(exclude_unset=True)
    new_password = "password" in changes
    ends_sessions = new_password or changes.get("is_active") is False
    if new_password:
        _require_session()
        with services().database.transaction() as db:
            now_known = _find(db, user_id)
        judge(changes["password"], [changes.get(name, now_known[name]) for name in ("email", "full_name")])
        changes["password_hash"] = _hash(changes.pop("password"))
    with services().database.transaction(lock=ACCOUNTS_LOCK) as db:
        admins = _active_admins(db)
        user = _find(db, user_id)
        _require_same(user)
        _require_reach(user.role, changes.get("role", user.role))
        if changes.get("is_active") is False or changes.get("role", "admin") != "admin":
            _keep_an_admin(admins, user_id)
        if changes.get("email", user.email) != user.email:
            _claim(db, changes["email"])
        db(db.users.id == user_id).update(**changes)
        if ends_sessions:
            revoke_all(db, user_id)
            revoke_tokens(db, user_id)
        was, user = public(user), _find(db, user_id)
        audit.record(db, f"user {user_id}", was, public(user) | ({"password": "new"} if new_password else {}))
    changed()
    return _tagged(user)


@operation(blueprint, "DELETE", ONE, Scope.USERS_WRITE, refusals=(404, 409), writes="user removed", if_match=True)
def remove_user(user_id: int) -> tuple[str, int]:
    """Delete an account and its sessions."""
    with services().database.transaction(lock=ACCOUNTS_LOCK) as db:
        admins = _active_admins(db)
        user = _find(db, user_id)
        _require_same(user)
        _require_reach(user.role)
        _keep_an_admin(admins, user_id)
        db(db.users.id == user_id).delete()
        audit.record(db, f"user {user_id}", public(user), None)
    changed()
    return "", 204


def _tagged(user: Any) -> Response:
    told = shown(user)
    return tagged(told, told["etag"])


def _require_same(user: Any) -> None:
    require_match(shown(user)["etag"], f"Account {user.id}")


def _require_session() -> None:
    """Refuse an API token to set a password, as whoever knows one signs in and is bound to no scopes.

    Raises:
        ApiError: 403.
    """
    if principal().session_id is None:
        raise ApiError(403, "session_needed", "An API token is not enough to set a password: sign in.")


def _require_reach(*roles: Role) -> None:
    """Refuse an API token to touch an account, or to make one, that may do more than the token.

    Raises:
        ApiError: 403, with the scopes that are missing.
    """
    who = principal()
    beyond = set().union(*(OF_ROLE[role] for role in roles)) - who.scopes
    if who.session_id is None and beyond:
        missing = ", ".join(sorted(beyond))
        raise ApiError(403, "forbidden", f"The account may do, or would, what the API token may not: {missing}.")


def _hash(password: str) -> str:
    passwords = services().passwords
    with passwords.admission(network(request.remote_addr or ""), f"user {principal().user.id}"):
        return passwords.hash(password)


def _find(db: DAL, user_id: int) -> Any:
    user = db(db.users.id == user_id).select().first()
    if user is None:
        raise ApiError(404, "user_not_found", f"There is no user {user_id}.")
    return user


def _insert(db: DAL, wanted: NewUser, password_hash: str) -> Any:
    user_id = db.users.insert(
        email=wanted.email,
        password_hash=password_hash,
        full_name=wanted.full_name,
        role=wanted.role,
        is_active=True,
        created_at=now(),
    )
    return _find(db, int(user_id))


def _claim(db: DAL, email: str) -> None:
    # The unique index has the last word; this only gives the usual case its own message.
    if db(db.users.email == email).count():
        raise ApiError(409, "email_taken", f"{email} belongs to another account.")


def _active_admins(db: DAL) -> set[int]:
    """Return the active admins; under ACCOUNTS_LOCK, or two of them could demote each other at the same time."""
    active = (db.users.role == "admin") & (db.users.is_active == True)  # noqa: E712
    return {row.id for row in db(active).select(db.users.id)}


def _keep_an_admin(admins: set[int], user_id: int) -> None:
    if admins == {user_id}:
        raise ApiError(409, "last_admin", "This is the last active admin; make another one first.")
