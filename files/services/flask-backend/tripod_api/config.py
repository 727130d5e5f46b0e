"""Settings, read once from the environment and the secret files it names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from .identity import AUTHORITY
from .metrics import HOSTS
from .proxies import Trust

T = TypeVar("T")

# Words that mark a secret as copied from an example rather than generated.
PLACEHOLDERS = ("changeme", "change-me", "change_me", "default", "example", "password", "placeholder", "secret")
JWT_SECRET_BYTES = 32
KEYS = 4  # in one file
GO_BACKEND_SECRET_BYTES = 32
FRONT_SECRET_BYTES = 32
PASSWORD_LENGTH = 12
# The largest thing anyone may send is a frame to trace: twice 64 KiB as hex, and its JSON around it.
BODY_BYTES = 160 * 1024
# Of one worker, for requests.
THREADS = 16
# What the only host of the data plane goes by, where the deployment names none.
GO_BACKEND = "go-backend"
# Names of hosts are labels of metrics and words of queries.
HOST_NAME = r"[A-Za-z0-9._-]{1,64}"


class ConfigError(Exception):
    """The service cannot start as configured; the message lists every fault."""


@dataclass(frozen=True)
class GoBackend:
    """A host of the data plane.

    Attributes:
        name: What requests and metrics call it.
        target: gRPC target of its go-backend.
        secret: What that takes for policies; None where nobody may change any from here.
        tls_name: What its certificate is for, where that is not the target's name.
    """

    name: str
    target: str
    secret: str | None = field(default=None, repr=False)
    tls_name: str = ""


@dataclass(frozen=True)
class Settings:
    """What the service was told.

    Attributes:
        database: Address and account; its password is never part of a repr.
        jwt_secret: Key of the access tokens' HMAC, and of what else is hashed so that nobody outside can.
        former_jwt_secrets: Keys before it, whose tokens are taken until they end.
        access_ttl: Life of an access token (seconds).
        session_ttl: Life of a session from sign-in, however often it is refreshed (seconds).
        bcrypt_rounds: Binary logarithm of bcrypt's iterations.
        admin_password: First admin's password; None once the file is gone.
        go_backend_target: gRPC target of go-backend, where there is one host.
        go_backend_secret: What it takes for policies; None where nobody may change any from here.
        go_backend_name: What the certificate of this host's go-backend is for and no other host's, by which it is known
            when it calls; empty where it does not.
        hosts: Those of the data plane, where the deployment names them; then the two above say nothing.
        tls_directory: Has the certificates by which services know each other; None without any.
        trusted_proxies: Addresses of the proxies in front whose X-Forwarded-For is believed.
        front_secret: What the front on this host brings along, to be believed like those.
        grpc_port: Where go-backends call, which takes certificates; 0 for nowhere.
        database_wait: How long the migration waits for the database (seconds).
    """

    database: Database
    jwt_secret: str = field(repr=False)
    admin_email: str
    former_jwt_secrets: tuple[str, ...] = field(default=(), repr=False)
    admin_password: str | None = field(default=None, repr=False)
    go_backend_target: str = "go-backend:50051"
    go_backend_secret: str | None = field(default=None, repr=False)
    go_backend_name: str = ""
    hosts: tuple[GoBackend, ...] = ()
    tls_directory: Path | None = None
    http_port: int = 5000
    grpc_port: int = 0
    access_ttl: int = 900
    session_ttl: int = 7 * 86400
    bcrypt_rounds: int = 12
    trusted_proxies: Trust = field(default_factory=Trust)
    front_secret: str | None = field(default=None, repr=False)
    database_wait: int = 60
    log_level: str = "INFO"
    build_epoch: int | None = None

    @property
    def go_backends(self) -> tuple[GoBackend, ...]:
        """The hosts of the data plane; one at least."""
        return self.hosts or (GoBackend(GO_BACKEND, self.go_backend_target, self.go_backend_secret),)

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        """All keys, the one that is used first."""
        return (self.jwt_secret, *self.former_jwt_secrets)


@dataclass(frozen=True)
class Database:
    """Where the tables are.

    Attributes:
        name: Database on the server, or the file's absolute path for SQLite.
        authority: File of the certificates that the server's must be issued by, for the host's name; empty without TLS.
    """

    type: Literal["postgres", "mysql", "sqlite"]
    name: str
    host: str = ""
    port: int = 5432
    user: str = ""
    password: str = field(default="", repr=False)
    authority: str = ""

    @property
    def uri(self) -> str:
        """The address as PyDAL takes it, with every part quoted."""
        if self.type == "sqlite":
            return f"sqlite://{self.name}"
        account = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        place = f"{account}@{self.host}:{self.port}/{self.name}"
        if self.type == "mysql":
            return f"mysql:pymysql://{place}?set_encoding=utf8mb4"
        return f"postgres3:psycopg2://{place}"

    def __str__(self) -> str:
        """Name the place for messages, without the password."""
        if self.type == "sqlite":
            return f"SQLite {self.name}"
        server = "MySQL" if self.type == "mysql" else "PostgreSQL"
        return f"{server} {self.host}:{self.port}, database {self.name}, user {self.user}"


class _Reader:
    """Reads variables and collects what is wrong with them, so that one start reports every fault."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environ.get(name) or default
        if value is None:
            self.faults.append(f"{name} is not set")
        return value or ""

    def number(self, name: str, default: int, low: int, high: int) -> int:
        value = self.environ.get(name) or str(default)
        if value.isascii() and value.isdigit() and low <= int(value) <= high:
            return int(value)
        self.faults.append(f"{name} is {value!r}, expected a whole number from {low} to {high}")
        return default

    def choice(self, name: str, default: str, choices: tuple[T, ...], form: Callable[[str], str] = str) -> T:
        value = form(self.environ.get(name) or default)
        if value not in choices:
            self.faults.append(f"{name} is {value!r}, expected one of {', '.join(map(str, choices))}")
            return choices[0]
        return choices[choices.index(value)]

    def path(self, name: str) -> Path | None:
        value = self.environ.get(name)
        if value and not value.startswith("/"):
            self.faults.append(f"{name} is {value!r}, expected an absolute path")
        return Path(value) if value else None

    def networks(self, name: str) -> Trust:
        try:
            return Trust.parse(self.environ.get(name, ""))
        except ValueError as error:
            self.faults.append(
                f"{name}: {error}; expected addresses or networks of proxies, such as 172.18.0.0/16,!172.18.0.1"
            )
            return Trust()

    def secret(self, name: str, least: int, required: bool = True) -> str | None:
        """Return the secret in the file that a variable names; None where it may and does lack."""
        value = self._content(name, required)
        if value is not None:
            self._check(name, self.environ[name], value, least)
        return value

    def secrets(self, name: str, least: int) -> tuple[str, ...]:
        """Return the secrets in the file that a variable names, one on each line, the one that is used first."""
        content = self._content(name, required=True)
        if content is None:
            return ("",)
        values = tuple(content.split("\n"))
        if len(values) > KEYS:
            self.faults.append(
                f"{name}: {self.environ[name]} has {len(values)} lines, and at most {KEYS} keys are taken"
            )
        for value in values:
            self._check(name, self.environ[name], value, least)
        return values

    def _content(self, name: str, required: bool) -> str | None:
        path = self.environ.get(name)
        if not path:
            if required:
                self.faults.append(f"{name} is not set; it names the file that holds the secret")
            return None
        return self._read(name, path, required)

    def _read(self, name: str, path: str, required: bool) -> str | None:
        try:
            return Path(path).read_text(encoding="utf-8").removesuffix("\n")
        except FileNotFoundError:
            if required:
                self.faults.append(f"{name}: {path} does not exist")
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{name}: cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}")
        return None

    def _check(self, name: str, path: str, value: str, least: int) -> None:
        if len(value.encode()) < least:
            self.faults.append(f"{name}: {path} holds {len(value.encode())} bytes, at least {least} are needed")
        elif len(set(value)) < least // 3 or any(word in value.lower() for word in PLACEHOLDERS):
            self.faults.append(f"{name}: {path} holds a placeholder; generate one, e.g. with `openssl rand -base64 48`")

    def hosts(self, name: str) -> tuple[GoBackend, ...]:
        """Return the hosts that a variable has as JSON; none where it is not set."""
        text = self.environ.get(name)
        if not text:
            return ()
        form = 'expected a list such as [{"name": "edge1", "target": "10.0.0.1:50051"}]'
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if told == []:
            return ()
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            self.faults.append(f"{name}: {form}")
            return ()
        if len(told) > HOSTS:
            self.faults.append(f"{name}: there are {len(told)} hosts, and {HOSTS} are the limit of one API")
        return tuple(self._host(f"{name}[{place}]", one, form) for place, one in enumerate(told))

    def _host(self, place: str, told: Mapping[str, Any], form: str) -> GoBackend:
        unknown = sorted(set(told) - {"name", "target", "tls_name", "secret_file"})
        wrong = [key for key in told if not isinstance(told[key], str)]
        if unknown or wrong or not told.get("target"):
            self.faults.append(f"{place}: {form}; beside these two it may have tls_name and secret_file, all texts")
            return GoBackend("", "")
        found = told.get("name", "")
        if not re.fullmatch(HOST_NAME, found):
            self.faults.append(f"{place}: the name is {found!r}, expected up to 64 letters, digits and . _ -")
        path = told.get("secret_file", "")
        secret = self._read(place, path, required=False) if path else None
        if secret is not None:
            self._check(place, path, secret, GO_BACKEND_SECRET_BYTES)
        return GoBackend(found, told["target"], secret, told.get("tls_name", ""))


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of this process.

    Raises:
        ConfigError: A variable is missing or out of range, or a secret is absent, short or a placeholder.
    """
    read = _Reader(environ)
    tls_directory = read.path("TLS_DIRECTORY")
    kind: Literal["postgres", "mysql", "sqlite"] = read.choice("DB_TYPE", "postgres", ("postgres", "mysql", "sqlite"))
    if kind == "sqlite":
        name = read.text("DB_NAME")
        if name and not name.startswith("/"):
            read.faults.append(f"DB_NAME is {name!r}; SQLite needs the absolute path of its file")
        database = Database(kind, name)
    else:
        database = Database(
            kind,
            name=read.text("DB_NAME"),
            host=read.text("DB_HOST"),
            port=read.number("DB_PORT", 3306 if kind == "mysql" else 5432, 1, 65535),
            user=read.text("DB_USER"),
            password=read.secret("DB_PASSWORD_FILE", PASSWORD_LENGTH) or "",
            authority=str(tls_directory / AUTHORITY) if tls_directory else "",
        )
    jwt_secret, *former = read.secrets("JWT_SECRET_FILE", JWT_SECRET_BYTES)
    settings = Settings(
        database=database,
        jwt_secret=jwt_secret,
        former_jwt_secrets=tuple(former),
        admin_email=read.text("ADMIN_EMAIL"),
        admin_password=read.secret("ADMIN_PASSWORD_FILE", PASSWORD_LENGTH, required=False),
        go_backend_target=read.text("GO_BACKEND_TARGET", Settings.go_backend_target),
        go_backend_secret=read.secret("GO_BACKEND_SECRET_FILE", GO_BACKEND_SECRET_BYTES, required=False),
        go_backend_name=read.text("GO_BACKEND_NAME", Settings.go_backend_name),
        hosts=read.hosts("GO_BACKENDS"),
        tls_directory=tls_directory,
        http_port=read.number("HTTP_PORT", Settings.http_port, 1, 65535),
        grpc_port=read.number("GRPC_PORT", Settings.grpc_port, 0, 65535),
        access_ttl=read.number("ACCESS_TOKEN_SECONDS", Settings.access_ttl, 60, 3600),
        session_ttl=read.number("SESSION_SECONDS", Settings.session_ttl, 3600, 90 * 86400),
        trusted_proxies=read.networks("TRUSTED_PROXIES"),
        front_secret=read.secret("FRONT_SECRET_FILE", FRONT_SECRET_BYTES, required=False),
        database_wait=read.number("DB_WAIT_SECONDS", Settings.database_wait, 0, 3600),
        log_level=read.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), str.upper),
        build_epoch=read.number("BUILD_EPOCH", 0, 0, 1 << 40) or None,
    )
    if settings.grpc_port == settings.http_port:
        read.faults.append(f"GRPC_PORT and HTTP_PORT are both {settings.http_port}")
    names = [one.name for one in settings.hosts if one.name]
    read.faults += [f"GO_BACKENDS names {name} more than once" for name in sorted(set(names)) if names.count(name) > 1]
    if read.faults:
        raise ConfigError("; ".join(read.faults))
    return settings
