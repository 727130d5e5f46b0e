"""The configuration of the TLS front, as what is requested and what nginx was built with make it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import CoreError
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy import nginx_module
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.nginx_config import (
    UNKNOWN,
    Build,
    Front,
    endpoint_of,
    render,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.nginx_digest import digest_of, stamped

# The output of Debian's, each shortened to what is read: 1.22.1-9+deb12u11 and 1.26.3-3+deb13u1.
BOOKWORM = (
    "nginx version: nginx/1.22.1\nconfigure arguments: --with-http_ssl_module --with-http_v2_module --with-threads"
)
TRIXIE = "nginx version: nginx/1.26.3\nconfigure arguments: --with-http_v2_module --with-http_v3_module --with-threads"
FRONT = Front(
    addresses=("127.0.0.1", "2001:db8::1"),
    port=443,
    api_port=8443,
    redirect_port=0,
    certificate="/x/tls.crt",
    key="/x/tls.key",
    web="127.0.0.1:3000",
    api="127.0.0.1:5000",
    api_authority="/x/ca.crt",
    api_name="flask-backend",
    secret="s" * 64,
)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("said", "build"),
    [
        (BOOKWORM, Build((1, 22, 1), http2=True, http3=False)),
        (TRIXIE, Build((1, 26, 3), http2=True, http3=True)),
        ("nginx version: nginx/1.9.0", Build((1, 9, 0), http2=False, http3=False)),
        ("no nginx", Build((), http2=False, http3=False)),
    ],
)
def test_what_nginx_has_is_read_and_not_guessed(said, build):
    assert Build.parse(said) == build


def test_http2_is_a_word_of_listen_or_a_directive_as_the_version_has_it():
    old, new = (lines(render(FRONT, Build.parse(said))) for said in (BOOKWORM, TRIXIE))
    assert "listen 127.0.0.1:443 ssl http2 default_server;" in old
    assert "http2 on;" not in old
    assert not any("quic" in line or "Alt-Svc" in line for line in old)
    assert "listen [2001:db8::1]:8443 ssl default_server;" in new
    assert new.count("http2 on;") == 2
    assert "listen [2001:db8::1]:443 quic reuseport default_server;" in new
    assert "add_header Alt-Svc 'h3=\":8443\"; ma=86400';" in new
    without = lines(render(FRONT, Build((1, 22, 1), http2=False, http3=False)))
    assert "listen 127.0.0.1:443 ssl default_server;" in without
    assert "http2 on;" not in without


def test_only_what_is_asked_for_is_served():
    text = render(replace(FRONT, api_port=0), Build.parse(BOOKWORM))
    assert "8443" not in text
    assert "308" not in text
    assert "set_real_ip_from" not in text
    assert "access_log off;" in text
    text = render(
        replace(FRONT, redirect_port=80, port=4443, trusted_proxies=("192.0.2.0/24",), journal=True, hsts=0),
        Build.parse(BOOKWORM),
    )
    assert "return 308 https://$host:4443$request_uri;" in text
    assert "set_real_ip_from 192.0.2.0/24;" in text
    assert "access_log syslog:server=unix:/dev/log" in text
    assert 'default "max-age=0";' in text


def test_an_api_without_tls_is_asked_without():
    text = render(replace(FRONT, api_authority=""), Build.parse(BOOKWORM))
    assert "proxy_pass http://$front_api;" in text
    assert "proxy_ssl" not in text


def test_a_configuration_is_known_by_all_of_it_and_by_the_files_it_names():
    held = {"/x/tls.crt": b"1", "/x/tls.key": b"2", "/x/ca.crt": b"3"}
    bare = render(FRONT, Build.parse(BOOKWORM))
    assert digest_of(bare) == UNKNOWN
    first = stamped(bare, held.get)
    seen = {digest_of(first)}
    assert stamped(first, held.get) == first
    for name in held:
        seen.add(digest_of(stamped(first, {**held, name: b"other"}.get)))
        seen.add(digest_of(stamped(first, {**held, name: None}.get)))
    seen.add(digest_of(stamped(render(replace(FRONT, hsts=1), Build.parse(BOOKWORM)), held.get)))
    assert len(seen) == 8
    assert UNKNOWN not in seen
    assert digest_of("of somebody else") == ""


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("127.0.0.1", "127.0.0.1:3000"),
        ("0.0.0.0", "127.0.0.1:3000"),
        ("192.0.2.1", "192.0.2.1:3000"),
        ("::", "[::1]:3000"),
        ("2001:db8::1", "[2001:db8::1]:3000"),
        ("localhost", "localhost:3000"),
    ],
)
def test_what_listens_everywhere_is_reached_on_the_loopback(address, endpoint):
    assert endpoint_of(address, 3000) == endpoint


def options(**other):
    preset = {name: option.get("default") for name, option in nginx_module.OPTIONS.items()}
    return {**preset, "certificate": "/x/tls.crt", "key": "/x/tls.key", "secret_file": "/x/secret", **other}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"addresses": []}, "addresses is empty"),
        ({"addresses": ["ui.example"]}, "'ui.example' is no address"),
        ({"api_port": 443}, "port, api_port are to differ"),
        ({"port": 0}, "port 0 is outside"),
        ({"web_port": 65536}, "web_port 65536 is outside"),
        ({"redirect_port": -1}, "redirect_port -1 is outside"),
        ({"hsts": -1}, "hsts -1 is outside"),
        ({"connection_life": 0}, "connection_life 0 is outside 1 to 3600"),
        ({"at_once": 0}, "at_once 0 is outside"),
        ({"certificate": "/x/a b"}, "certificate /x/a b is not absolute and plain"),
        ({"key": "/x/a;b"}, "key /x/a;b is not absolute and plain"),
        ({"backend_authority": "ca.crt"}, "backend_authority ca.crt is not absolute"),
        ({"trusted_proxies": ["192.0.2.0/33"]}, "'192.0.2.0/33' is no address and no network"),
    ],
)
def test_what_cannot_be_is_refused_with_the_limit(other, reason):
    [said] = nginx_module.faults(options(**other)).reasons
    assert reason in said


def test_the_defaults_are_faultless():
    assert nginx_module.faults(options()).reasons == []


@pytest.mark.parametrize("secret", ["", "x\n", 'with "quotes"'])
def test_a_secret_that_is_none_or_would_be_read_as_more_is_refused(tmp_path, secret):
    (tmp_path / "x").mkdir()
    for name in ("tls.crt", "tls.key"):
        (tmp_path / "x" / name).touch()
    (tmp_path / "x" / "secret").write_text(secret)
    if secret.strip().isalnum():
        assert nginx_module._secret(Host(tmp_path), "/x/secret") == "x"
    else:
        with pytest.raises(CoreError, match="secret_file"):
            nginx_module._secret(Host(tmp_path), "/x/secret")
