"""Which passwords are taken, how they are typed, and how one's own is changed or recovered."""

from __future__ import annotations

import os
import random
import signal
import string
import time
import unicodedata
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from conftest import ADMIN, PASSWORD, Caller, enrol, sign_in
from flask import Flask

from tripod_api import reset_password
from tripod_api.config import ConfigError, Settings
from tripod_api.hasher import NICE, Hasher
from tripod_api.migrate import prepare
from tripod_api.passwords import Passwords, judge

GOOD = "gravel tuba sixteen"


def login(app: Flask, email: str, password: str) -> int:
    status: int = app.test_client().post("/api/v1/auth/login", json={"email": email, "password": password}).status_code
    return status


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "weak",
    [
        "123456789012",
        "password1234",
        " " * 12,
        "new.person@example.com",
        "New.Person@Example.com1",
        "moc.elpmaxe@nosrep.wen",
        "example.com.new.person",
        "Nora Lindqvist 1",
        "qwertyuiop12",
        "passwordpassword",
        "abcdefghijklmn",
        "aaaaaaaaaaaaaaaa",
        "\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19\uff10\uff11\uff12",
        "P@ssw0rd1234",
        "\u3000" * 12,
        "\u00a0" * 12,
        "tripodtripodtripod",
        "Tripod2026!!",
        "tripod-admin",
        "tripod.baremetal",
        "noralindqvist2026",
        "1qaz2wsx3edc",
        "zxcvbnm,./12",
        "\u0439\u0446\u0443\u043a\u0435\u043d\u0433\u0448\u0449\u0437\u0445\u044a",
        "\u043f\u0430\u0440\u043e\u043b\u044c123456",
        "p.a.s.s.w.o.r.d",
        "pass word pass word",
        "Winter2023!!",
        "a\u00e1\u00e0\u00e2\u00e4\u00e3\u00e5\u0101a\u00e1\u00e0\u00e2",
        "20240101120000",
        "correct horse battery staple",
    ],
)
def test_what_is_soon_guessed_is_refused(app: Flask, admin: Caller, weak: str) -> None:
    who = {"email": "new.person@example.com", "full_name": "Nora Lindqvist", "role": "viewer"}
    answer = admin("POST", "/users", json=who | {"password": weak})
    assert (answer.status_code, answer.json["code"]) == (422, "weak_password")
    assert answer.json["detail"].startswith("password: ")
    assert weak not in answer.text
    user = admin("POST", "/users", json=who | {"password": GOOD}).json
    assert admin("PUT", f"/users/{user['id']}", json={"password": weak}).json["code"] == "weak_password"
    mine = sign_in(app, who["email"], GOOD)
    own = mine("PUT", "/auth/me/password", json={"current_password": GOOD, "new_password": weak})
    assert (own.status_code, own.json["code"]) == (422, "weak_password")


@pytest.mark.parametrize(("alphabet", "length"), [(string.ascii_lowercase, 16), (string.printable[:94], 12)])
def test_what_a_generator_makes_is_taken(alphabet: str, length: int) -> None:
    generator = random.Random(7)  # noqa: S311
    for _ in range(50):
        judge("".join(generator.choices(alphabet, k=length)), ["new.person@example.com", "Nora Lindqvist"])


def test_the_first_admin_is_held_to_it_too(settings: Settings) -> None:
    object.__setattr__(settings, "admin_password", "password1234")
    with pytest.raises(ConfigError, match=r"ADMIN_PASSWORD_FILE.*very common") as caught:
        prepare(settings)
    assert "password1234" not in str(caught.value)


ADDRESSES = [
    ("anna@xn--bcher-kva.example", "anna@b\u00fccher.example"),
    ("J\u00f6rg@example.com", "J\u006f\u0308rg@EXAMPLE.com"),
    ("User@Example.COM", " user@example.com "),
]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("pair", ADDRESSES)
def test_an_address_opens_in_every_form_it_is_typed(app: Flask, admin: Caller, pair: Any, swap: bool) -> None:
    stored, typed = reversed(pair) if swap else pair
    enrol(admin, "viewer", stored.strip())
    for form in (stored, typed, unicodedata.normalize("NFD", typed), unicodedata.normalize("NFC", stored)):
        assert login(app, form, PASSWORD) == 200, form
    taken = admin("POST", "/users", json={"email": typed.strip(), "password": GOOD, "full_name": "X", "role": "viewer"})
    assert taken.json["code"] == "email_taken"


def test_an_address_that_grows_in_lower_case_is_no_error(admin: Caller) -> None:
    grows = "\u0130" * 60 + "@example.com"
    body = {"email": grows, "password": GOOD, "full_name": "X", "role": "viewer"}
    assert admin("POST", "/users", json=body).status_code in {201, 422}


TYPED = "Gr\u00fc\u00dfe \u00e0 l'\u00e9l\u00e9phant"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_password_opens_in_every_form_it_is_typed(app: Flask, admin: Caller, form: Any) -> None:
    user = enrol(admin, "viewer")
    assert (
        admin("PUT", f"/users/{user['id']}", json={"password": unicodedata.normalize(form, TYPED)}).status_code == 200
    )
    for typed in ("NFC", "NFD"):
        assert login(app, user["email"], unicodedata.normalize(typed, TYPED)) == 200  # type: ignore[arg-type]
    assert login(app, user["email"], TYPED.upper()) == 401


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_hashes_of_earlier_releases_still_open(form: Any) -> None:
    old = bcrypt.hashpw(unicodedata.normalize(form, TYPED).encode(), bcrypt.gensalt(4)).decode()
    for typed in ("NFC", "NFD"):
        assert Passwords(4).check(unicodedata.normalize(typed, TYPED), old)  # type: ignore[arg-type]
    assert not Passwords(4).check(TYPED + "x", old)


def test_ones_own_password_is_changed_by_who_knows_it(app: Flask, admin: Caller) -> None:
    user = enrol(admin, "viewer")
    mine, elsewhere = sign_in(app, user["email"]), sign_in(app, user["email"])
    wrong = mine("PUT", "/auth/me/password", json={"current_password": "wrong", "new_password": GOOD})
    assert (wrong.status_code, wrong.json["code"]) == (403, "wrong_password")
    assert login(app, user["email"], PASSWORD) == 200
    done = mine("PUT", "/auth/me/password", json={"current_password": PASSWORD, "new_password": GOOD})
    assert (done.status_code, done.data) == (204, b"")
    assert mine("GET", "/auth/me").status_code == 200
    assert mine.refreshed()("GET", "/auth/me").status_code == 200
    assert elsewhere("GET", "/auth/me").json["code"] == "session_ended"
    assert [login(app, user["email"], word) for word in (PASSWORD, GOOD)] == [401, 200]
    assert app.test_client().put("/api/v1/auth/me/password", json={}).status_code == 401


def test_guesses_at_the_current_password_count(app: Flask, admin: Caller) -> None:
    """A stolen access token must not become an account, one guess after the other."""
    body = {"current_password": "wrong", "new_password": GOOD}
    headers = {"Authorization": f"Bearer {admin.access}"}
    statuses = [
        app.test_client()
        .put("/api/v1/auth/me/password", json=body, headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.9"})
        .status_code
        for _ in range(11)
    ]
    assert statuses == [403] * 10 + [429]


@pytest.fixture
def environ(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings.database
    values = {
        "DB_TYPE": found.type,
        "DB_NAME": found.name,
        "DB_HOST": found.host,
        "DB_PORT": str(found.port),
        "DB_USER": found.user,
        "ADMIN_EMAIL": ADMIN,
    }
    for name, secret in (("DB_PASSWORD", found.password), ("JWT_SECRET", settings.jwt_secret)):
        (tmp_path / name).write_text(secret)
        values[f"{name}_FILE"] = str(tmp_path / name)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environ")
def test_a_lost_admin_password_is_recovered(
    app: Flask, admin: Caller, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(12):
        app.test_client().post(
            "/api/v1/auth/login",
            json={"email": ADMIN, "password": "wrong"},
            environ_overrides={"REMOTE_ADDR": "192.0.2.9"},
        )
    new = tmp_path / "new"
    new.write_text(f"{GOOD}\n")
    assert reset_password.main([ADMIN.upper(), "--password-file", str(new)]) == 0
    told = capsys.readouterr()
    assert ADMIN in told.out
    assert GOOD not in told.out + told.err
    assert admin("GET", "/auth/me").json["code"] == "session_ended"
    assert [login(app, ADMIN, word) for word in (PASSWORD, GOOD)] == [401, 200]


@pytest.mark.usefixtures("environ", "app")
@pytest.mark.parametrize(
    ("who", "password", "reason"),
    [
        ("nobody@example.com", GOOD, f"there is no account nobody@example.com; the admins' are {ADMIN}"),
        ("no address", GOOD, "there is no account no address"),
        (ADMIN, "short", "at least 12 characters"),
        (ADMIN, "password1234", "very common password"),
        (ADMIN, "", "at least 12 characters"),
    ],
)
def test_a_recovery_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], who: str, password: str, reason: str
) -> None:
    (tmp_path / "new").write_text(password)
    assert reset_password.main([who, "--password-file", str(tmp_path / "new")]) == 1
    assert reason in capsys.readouterr().err


def test_a_killed_hasher_is_replaced() -> None:
    hasher = Hasher()
    try:
        stored = hasher.hash(GOOD.encode(), 4)
        first = hasher._child
        assert first
        first.kill()
        assert hasher.check(GOOD.encode(), stored)
        assert hasher._child is not first
        assert not hasher.check(b"", stored)
        assert os.sched_getscheduler(hasher._child.pid) == os.SCHED_IDLE  # type: ignore[union-attr]
    finally:
        hasher.close()


def test_where_others_leave_nothing_of_the_cpus_a_hasher_takes_its_share_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tripod_api.hasher.LATE_SECONDS", 0.5)
    monkeypatch.setattr("tripod_api.hasher.PRESSED_SECONDS", 3.0)
    hasher = Hasher()

    def policy() -> int:
        assert hasher._child
        return os.sched_getscheduler(hasher._child.pid)

    try:
        stored = hasher.hash(GOOD.encode(), 4)
        starved = hasher._child
        assert starved
        os.kill(starved.pid, signal.SIGSTOP)
        assert hasher.check(GOOD.encode(), stored)
        assert starved.poll() is not None
        assert policy() == os.SCHED_OTHER
        assert hasher._child
        assert os.getpriority(os.PRIO_PROCESS, hasher._child.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + NICE, 19)
        assert hasher.check(GOOD.encode(), stored)
        assert policy() == os.SCHED_OTHER
        time.sleep(3)
        assert hasher.check(GOOD.encode(), stored)
        assert policy() == os.SCHED_IDLE
    finally:
        hasher.close()


def test_a_password_of_any_bytes_gets_an_answer(app: Flask) -> None:
    for odd in ("nul\0in the middle", "two\nlines of it", " ", "\u2028 \x85 \x1c", "e" * 1024):
        assert login(app, ADMIN, odd) == 401, odd
