"""Who asks: tokens that end early, second factors, users that are put out."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials

from tests.support.marchproxy.client import PASSWORD, USER, connect, real_server
from tests.support.marchproxy.serving import Answer, Clock, served

LOGIN, LIST = "POST /auth/login", "GET /services"


@pytest.fixture
def server():
    with served(real_server(clock=Clock())) as server:
        yield server


def token(server):
    return server.tokens.issue(server.tokens.users[0])["access_token"]


def test_a_token_is_used_as_it_is(server):
    assert connect(server, Credentials(token=token(server))).ask("GET", "/services").status == 200
    assert server.lines == [LIST]


def test_a_user_logs_in_once(server):
    """3.1: by JSON."""
    session = connect(server)
    assert [session.ask("GET", "/services").status for _time in range(2)] == [200, 200]
    assert server.lines == [LOGIN, LIST, LIST]
    assert server.log[0].body == {"username": USER, "password": PASSWORD}


def test_after_half_an_hour_a_user_logs_in_again(server):
    """3.1: expires_in says an hour, the token lives half of one."""
    session = connect(server)
    session.ask("GET", "/services")
    server.clock.forward(1800)
    assert session.ask("GET", "/services").status == 200
    assert server.lines == [LOGIN, LIST, LIST, LOGIN, LIST]


def test_a_token_that_ended_is_followed_by_a_login_where_a_user_is_given(server):
    session = connect(server, Credentials(token="old", username=USER, password=PASSWORD))
    assert session.ask("GET", "/services").status == 200
    assert server.lines == [LIST, LOGIN, LIST]


def test_a_token_that_ended_is_said_to_have(server):
    session = connect(server, Credentials(token="hunter2"))
    with pytest.raises(
        Refused, match=r"refuses the token \(401 Could not validate credentials\).*thirty minutes"
    ) as raised:
        session.ask("GET", "/services")
    assert "hunter2" not in str(raised.value)
    assert server.lines == [LIST]


def test_a_fresh_token_that_is_refused_is_not_asked_for_again(server):
    session = connect(server)
    handle = server.handle
    server.handle = lambda request: (
        Answer(401, {"detail": "no"}) if request.path.endswith("/services") else handle(request)
    )
    with pytest.raises(Refused, match="refuses the token"):
        session.ask("GET", "/services")
    assert server.lines == [LOGIN, LIST]


def test_a_second_factor_is_asked_for_in_words(server):
    """3.1: 200 with null tokens."""
    server.tokens.users[0].totp = "123456"
    with pytest.raises(Refused, match="a second factor is required: give its six digits as totp_code"):
        connect(server).ask("GET", "/services")
    wrong, right = (Credentials(username=USER, password=PASSWORD, totp_code=code) for code in ("654321", "123456"))
    with pytest.raises(Refused, match="401 Invalid 2FA code"):
        connect(server, wrong).ask("GET", "/services")
    assert connect(server, right).ask("GET", "/services").status == 200


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            lambda server: setattr(server.tokens.users[0], "password", "another one"),
            "401 Incorrect username or password",
        ),
        (lambda server: setattr(server.tokens.users[0], "is_active", False), "403 User account is deactivated"),
    ],
)
def test_a_login_that_is_refused(server, prepare, said):
    """3.1."""
    prepare(server)
    with pytest.raises(Refused, match=f"login of 'admin': {said}") as raised:
        connect(server).ask("GET", "/services")
    assert PASSWORD not in str(raised.value)


def test_a_password_that_the_server_repeats_is_not_said(server):
    """3.6: 422 echoes it."""
    with pytest.raises(Refused, match=r"422 refuses password$"):
        connect(server, Credentials(username=USER, password="hunter2")).ask("GET", "/services")
    assert server.log[0].body["password"] == "hunter2"


def test_nobody_is_given(server):
    """0.2: a cluster's key is nobody."""
    with pytest.raises(Refused, match="wants a user for single services"):
        connect(server, Credentials(cluster_key="key")).ask("GET", "/services")
    assert server.log == []


def test_a_header_that_got_lost(server):
    """3.6: 403, not 401."""
    server.handle = lambda request: Answer(403, {"detail": "Not authenticated"})
    with pytest.raises(Refused, match="403 Not authenticated"):
        connect(server, Credentials(token="hunter2")).ask("GET", "/services")


def test_a_server_that_limits_its_clients_is_waited_for(server):
    """3.7: this one does not, a proxy before it may."""
    waits: list[float] = []
    session = connect(server, waits=waits)
    handle, left = server.handle, [Answer(429, None, {"Retry-After": "7"}), Answer(429)]
    server.handle = lambda request: left.pop(0) if left else handle(request)
    assert session.ask("GET", "/services").status == 200
    assert waits == [7.0, 1.0]


@pytest.mark.parametrize("secret", ["two words", "new\nline", "\u00fcmlaut", "nul\0"])
@pytest.mark.parametrize("name", ["token", "cluster_key"])
def test_a_secret_that_fits_no_header_is_not_repeated(name, secret):
    with pytest.raises(Invalid, match=f"{name} holds a space") as raised:
        Credentials(**{name: secret})
    assert secret not in str(raised.value)


def test_credentials_do_not_show_what_they_hold():
    shown = repr(Credentials("hunter2", "hunter2", "user", "hunter2", "hunter2"))
    assert "user" in shown
    assert "hunter2" not in shown
