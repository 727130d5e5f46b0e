"""Accounts: their REST resource, and the first admin."""

from __future__ import annotations

import math
from typing import Any

from flask import Blueprint, Response, jsonify, request
from pydal import DAL
from pydantic import ValidationError

from .config import ConfigError, Settings
from .context import principal, services, signed_in
from .database import ACCOUNTS_LOCK, Database, now
from .errors import ApiError, explain
from .passwords import Passwords, judge
from .schemas import NewUser, UserChange, body, page
from .sessions import revoke_all
from .throttle import network

blueprint = Blueprint("users", __name__, url_prefix="/api/v1/users")

# PostgreSQL's BIGINT; a larger number in the path is simply no user.
LARGEST_ID = (1 << 63) - 1
ONE = f"/<int(max={LARGEST_ID}):user_id>"


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
        _insert(db, admin, password_hash)
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


@blueprint.get("")
@signed_in("admin")
def index() -> Response:
    """List accounts, oldest first."""
    window = page()
    first = (window.page - 1) * window.per_page
    with services().database.transaction() as db:
        total = db(db.users).count()
        rows = db(db.users).select(orderby=db.users.id, limitby=(first, first + window.per_page))
    return jsonify(
        users=[public(row) for row in rows],
        pagination={
            "page": window.page,
            "per_page": window.per_page,
            "total": total,
            "pages": math.ceil(total / window.per_page),
        },
    )


@blueprint.post("")
@signed_in("admin")
def create() -> tuple[Response, int]:
    """Create an account."""
    wanted = body(NewUser)
    judge(wanted.password, [wanted.email, wanted.full_name])
    password_hash = _hash(wanted.password)
    with services().database.transaction() as db:
        _claim(db, wanted.email)
        user = _insert(db, wanted, password_hash)
    return jsonify(public(user)), 201


@blueprint.get(ONE)
@signed_in("admin")
def show(user_id: int) -> Response:
    """Show one account."""
    with services().database.transaction() as db:
        return jsonify(public(_find(db, user_id)))


@blueprint.put(ONE)
@signed_in("admin")
def change(user_id: int) -> Response:
    """Change an account; a new password or a deactivation ends its sessions."""
    wanted = body(UserChange).model_dump(exclude_unset=True)
    ends_sessions = "password" in wanted or wanted.get("is_active") is False
    if "password" in wanted:
        with services().database.transaction() as db:
            now_known = _find(db, user_id)
        judge(wanted["password"], [wanted.get(name, now_known[name]) for name in ("email", "full_name")])
        wanted["password_hash"] = _hash(wanted.pop("password"))
    with services().database.transaction(lock=ACCOUNTS_LOCK) as db:
        admins = _active_admins(db)
        user = _find(db, user_id)
        if wanted.get("is_active") is False or wanted.get("role", "admin") != "admin":
            _keep_an_admin(admins, user_id)
        if wanted.get("email", user.email) != user.email:
            _claim(db, wanted["email"])
        db(db.users.id == user_id).update(**wanted)
        if ends_sessions:
            revoke_all(db, user_id)
        user = _find(db, user_id)
    return jsonify(public(user))


@blueprint.delete(ONE)
@signed_in("admin")
def remove(user_id: int) -> tuple[str, int]:
    """Delete an account and its sessions."""
    with services().database.transaction(lock=ACCOUNTS_LOCK) as db:
        admins = _active_admins(db)
        _find(db, user_id)
        _keep_an_admin(admins, user_id)
        db(db.users.id == user_id).delete()
    return "", 204


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
