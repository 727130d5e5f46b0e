"""Give an account a new password, for whoever may run commands in the container: a lost admin password is no lost site.

The password is read from a file or from standard input, so that it is on no command line and in no log. Sessions and
API tokens of the account end, it is active afterwards, and failed sign-ins are forgotten.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from . import config, trail
from .api_tokens import revoke_tokens
from .database import ACCOUNTS_LOCK, Database, DatabaseUnavailable
from .errors import ApiError, explain
from .migrations import SchemaMismatch
from .passwords import Passwords, judge
from .schemas import Password, sign_in_address
from .sessions import revoke_all
from .throttle import Throttle
from .trail import Entry


class Refusal(Exception):
    """The reason, for the operator."""


def reset(settings: config.Settings, address: str, password: str) -> str:
    """Set the password of an account.

    Args:
        settings: The service's own.
        address: The account's e-mail address, in whatever form it is typed.
        password: The new one; the rules for all passwords hold.

    Returns:
        The account's address as it is stored.

    Raises:
        Refusal: There is no such account, or the password is a weak one.
    """
    database = Database(settings.database)
    email = sign_in_address(address)
    with database.transaction() as db:
        user = db(db.users.email == email).select().first() if email else None
        admins = [row.email for row in db(db.users.role == "admin").select(db.users.email)]
    if user is None:
        raise Refusal(f"there is no account {address}; the admins' are {', '.join(admins) or 'none'}")
    try:
        password = TypeAdapter(Password).validate_python(password)
        judge(password, [user.email, user.full_name])
    except ValidationError as error:
        raise Refusal(f"password: {explain(error).removeprefix('body: ')}") from None
    except ApiError as error:
        raise Refusal(error.message) from None
    password_hash = Passwords(settings.bcrypt_rounds).hash(password)
    with database.transaction(lock=ACCOUNTS_LOCK) as db:
        if not db(db.users.id == user.id).update(password_hash=password_hash, is_active=True):
            raise Refusal(f"the account {address} was deleted meanwhile")
        revoke_all(db, user.id)
        revoke_tokens(db, user.id)
        trail.add(db, Entry("password reset", f"user {user.id}", "the command reset_password"))
        Throttle(settings.jwt_secret).forget(db, user.email)
    return str(user.email)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python3 -m tripod_api.reset_password", description=__doc__)
    parser.add_argument("address", help="the account's e-mail address")
    parser.add_argument("--password-file", type=Path, help="a file that holds it; standard input where not given")
    given = parser.parse_args(arguments)
    try:
        source = given.password_file.read_text(encoding="utf-8") if given.password_file else sys.stdin.read()
        email = reset(config.load(), given.address, source.removesuffix("\n"))
    except (OSError, UnicodeDecodeError, config.ConfigError, DatabaseUnavailable, SchemaMismatch, Refusal) as error:
        sys.stderr.write(f"cannot reset the password: {error}\n")
        return 1
    sys.stdout.write(f"the password of {email} is reset, and its sessions and API tokens have ended\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
