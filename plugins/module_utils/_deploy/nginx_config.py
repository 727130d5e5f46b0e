# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The configuration of the TLS front, from what is requested and what nginx was built with: pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import Template

RUN_DIRECTORY = "/run/tripod-nginx"
PID_FILE = f"{RUN_DIRECTORY}/nginx.pid"
# Here it says the digest of the configuration, and of the certificates, that it serves with.
STATE_SOCKET = f"{RUN_DIRECTORY}/state.sock"
UNKNOWN = "0" * 64
# The web interface reads this one from the API once, for all its browsers.
EVENTS = "/api/v1/events"
# `http2` as a directive of its own; until then it is a word of `listen`.
_HTTP2_DIRECTIVE = (1, 25, 1)


@dataclass(frozen=True)
class Build:
    """What ``nginx -V`` says.

    Attributes:
        version: Such as ``(1, 22, 1)``.
        http2: Whether it has HTTP/2.
        http3: Whether it has HTTP/3.
    """

    version: tuple[int, ...]
    http2: bool
    http3: bool

    @classmethod
    def parse(cls, text: str) -> Build:
        """Read the output of ``nginx -V``."""
        found = re.search(r"nginx/([0-9.]+)", text)
        version = tuple(int(word) for word in found[1].split(".")) if found else ()
        words = text.split()
        return cls(version, "--with-http_v2_module" in words, "--with-http_v3_module" in words)


@dataclass(frozen=True)
class Front:
    """What is requested of the front.

    Attributes:
        addresses: Where it listens.
        port: HTTPS of the web interface, and of the REST API for it.
        api_port: HTTPS of the REST API alone; 0 for none.
        redirect_port: Plain HTTP that leads to HTTPS; 0 for none.
        certificate: File of the certificate, with those between it and the authority.
        key: File of its key.
        web: Address and port of the web interface.
        api: Address and port of the API.
        api_authority: File of what the API's certificate is issued by; empty where it speaks plain HTTP.
        api_name: Name in the API's certificate.
        secret: What the services know the front by.
        trusted_proxies: Networks of proxies in front whose X-Forwarded-For is believed.
        hsts: For how long browsers are to ask for HTTPS only (seconds).
        connection_life: How long a connection takes new requests (seconds).
        at_once: Requests and connections of an address at a time.
        journal: Whether requests go to the journal.
    """

    addresses: tuple[str, ...]
    port: int
    api_port: int
    redirect_port: int
    certificate: str
    key: str
    web: str
    api: str
    api_authority: str
    api_name: str
    secret: str = field(repr=False)
    trusted_proxies: tuple[str, ...] = ()
    hsts: int = 31536000
    connection_life: int = 15
    at_once: int = 128
    journal: bool = False


_MAIN = Template("""\
# Of the Ansible collection tripod.baremetal, which replaces it as a whole.
user www-data;
worker_processes auto;
# Streams go on over a new configuration, but not for ever.
worker_shutdown_timeout 10m;
pid $pid_file;
error_log stderr warn;

events {
    worker_connections 4096;
}

http {
    access_log $access_log;
    default_type application/octet-stream;
    server_tokens off;
    log_format front escape=json '{"service":"nginx","request_id":"$$front_request_id","client":"$$remote_addr",'
        '"method":"$$request_method","path":"$$uri","status":$$status,"bytes":$$bytes_sent,"seconds":$$request_time,'
        '"protocol":"$$server_protocol","tls":"$$ssl_protocol"}';

    # Nothing of a request or an answer is ever on a disk.
    client_body_temp_path $run/body;
    proxy_temp_path $run/proxy;
    fastcgi_temp_path $run/fastcgi;
    uwsgi_temp_path $run/uwsgi;
    scgi_temp_path $run/scgi;
    client_body_buffer_size 256k;
    client_max_body_size 256k;
    proxy_max_temp_file_size 0;

    # Nobody holds a connection for as long as they like.
    client_header_timeout 10s;
    client_body_timeout 10s;
    send_timeout 30s;
    reset_timedout_connection on;
    keepalive_timeout 65s;
    # Who is told to come by another connection gets one: over HTTP/2 it would be the same one for ever.
    keepalive_time ${connection_life}s;
    large_client_header_buffers 4 16k;
    limit_conn_zone $$binary_remote_addr zone=clients:4m;
    limit_conn clients $at_once;
    limit_conn_status 429;

    ssl_certificate $certificate;
    ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_prefer_server_ciphers off;
    ssl_session_cache shared:front:4m;
    ssl_session_timeout 1h;
    ssl_session_tickets off;
$real_ip
    map $$http_x_request_id $$front_request_id {
        "~^[A-Za-z0-9._-]{1,64}$$" $$http_x_request_id;
        default $$request_id;
    }
    # HTTP/3 has it elsewhere.
    map $$http_host $$front_host {
        "" $$host;
        default $$http_host;
    }
    # Of a name it holds for all ports, and on localhost other people's are among them.
    map $$host $$front_hsts {
        localhost "";
        default "max-age=$hsts";
    }
    # What changes something has a connection of its own: whether it arrived by one that was closing, nobody could say.
    map $$request_method $$front_web {
        GET web_kept;
        HEAD web_kept;
        default web_once;
    }
    map $$request_method $$front_api {
        GET api_kept;
        HEAD api_kept;
        default api_once;
    }
    # The API makes no addresses of its own, and so has no use for these; each is work for it.
    map $$proxy_host $$front_scheme_told {
        "~^api" "";
        default $$scheme;
    }
    map $$proxy_host $$front_host_told {
        "~^api" "";
        default $$front_host;
    }
    map $$http_accept $$front_streams {
        "~text/event-stream" 1;
        "~application/vnd\\.tcpdump\\.pcap" 1;
        default 0;
    }
    upstream web_kept { server $web; keepalive 32; keepalive_timeout 30s; }
    upstream web_once { server $web; }
    # As many as may be in use at once, or each that is over would be made anew, with its handshake.
    upstream api_kept { server $api; keepalive $at_once; keepalive_timeout 3s; }
    upstream api_once { server $api; }

    proxy_http_version 1.1;
    proxy_connect_timeout 5s;
    # Longer than the web interface lets the API be silent.
    proxy_read_timeout 75s;
    proxy_send_timeout 30s;
    proxy_next_upstream off;
    proxy_set_header Host $$front_host;
    proxy_set_header Connection "";
    proxy_set_header X-Request-ID $$front_request_id;
    proxy_set_header X-Forwarded-For $$remote_addr;
    proxy_set_header X-Forwarded-Proto $$front_scheme_told;
    proxy_set_header X-Forwarded-Host $$front_host_told;
    proxy_set_header X-Connection-Age $$connection_time;
    proxy_set_header X-Front-Secret "$secret";
    proxy_set_header Forwarded "";

    server {
        listen unix:$socket;
        access_log off;
        location / {
            default_type text/plain;
            return 200 "$digest";
        }
    }
$servers}
""")

_REDIRECT = Template("""
    server {
$listen
        server_name _;
        location / {
            return 308 https://$$host$to$$request_uri;
        }
    }
""")

_SERVER = Template("""
    server {
$listen
        server_name _;
        add_header Strict-Transport-Security $$front_hsts always;
$advertised
$locations
$errors
    }
""")

# Streams go on at once; the web interface waits for whoever is slow.
_WEB = Template("""\
        location $where {
            proxy_buffering off;
            proxy_pass http://$$front_web;
        }""")

_NOTHING = """\
        location / {
            return 404;
        }"""

_API = Template("""\
        # A thread of the API is not to wait for a slow client, so what is no stream is taken off its hands.
        proxy_buffers 32 32k;
        proxy_busy_buffers_size 64k;
        recursive_error_pages on;
$tls
        location ~ ^/api(/|$$) {
            # One of its own takes away all of the server's.
            error_page 418 = @stream;
$pages
            if ($$front_streams) {
                return 418;
            }
            # A connection that waited may have ended meanwhile; only what changes nothing comes by such a one.
            proxy_next_upstream error;
            proxy_pass $scheme://$$front_api;
        }
        location @stream {
            proxy_buffering off;
            proxy_pass $scheme://$$front_api;
        }""")

_API_TLS = Template("""\
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate $authority;
        proxy_ssl_name $name;
        proxy_ssl_server_name on;
        proxy_ssl_protocols TLSv1.3;""")

# What nginx answers by itself, as the services say it (RFC 9457): status, code, words for people. The statuses that it
# has within for too large headers, and for plain HTTP on a port of HTTPS, are 400 outside.
_ERRORS = (
    (400, "bad_request", "The request cannot be understood.", (400, 494)),
    (400, "plain_http", "This port speaks HTTPS.", (497,)),
    (404, "not_found", "There is nothing at this address.", (404,)),
    (405, "method_not_allowed", "This method is not allowed here.", (405,)),
    (408, "request_timeout", "The request came too slowly.", (408,)),
    (413, "request_entity_too_large", "The body is larger than any that is taken.", (413,)),
    (414, "uri_too_long", "The address is too long.", (414,)),
    (429, "too_many_requests", "Too many requests of one address are on their way; try again shortly.", (429,)),
    (502, "service_unreachable", "The service cannot be reached; try again shortly.", (500, 502, 503)),
    (504, "service_timeout", "The service did not answer in time; try again shortly.", (504,)),
)
_TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    429: "Too Many Requests",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}
_ERROR = Template("""\
        $page
        location @$code {
            internal;
            default_type application/problem+json;
            add_header Strict-Transport-Security $$front_hsts always;
            add_header X-Content-Type-Options nosniff always;
            add_header X-Request-ID $$front_request_id always;
            return $status '{"type":"about:blank","title":"$title","status":$status,"detail":"$words","code":"$code",\
"request_id":"$$front_request_id","error":"$words"}';
        }""")


def render(front: Front, build: Build) -> str:
    """Return the configuration; in the place of its digest stands UNKNOWN."""
    servers = [_redirect(front)] if front.redirect_port else []
    api = _api(front)
    web = [_WEB.substitute(where=where) for where in (f"= {EVENTS}", "/")]
    servers.append(_server(front, build, front.port, "\n".join([api, *web])))
    if front.api_port:
        servers.append(_server(front, build, front.api_port, f"{api}\n{_NOTHING}"))
    proxies = "".join(f"    set_real_ip_from {network};\n" for network in front.trusted_proxies)
    real_ip = f"{proxies}    real_ip_header X-Forwarded-For;\n    real_ip_recursive on;\n" if proxies else ""
    access_log = "syslog:server=unix:/dev/log,nohostname,tag=tripod_nginx front" if front.journal else "off"
    text = _MAIN.substitute(
        pid_file=PID_FILE,
        run=RUN_DIRECTORY,
        socket=STATE_SOCKET,
        digest=UNKNOWN,
        access_log=access_log,
        certificate=front.certificate,
        key=front.key,
        real_ip=real_ip,
        hsts=front.hsts,
        connection_life=front.connection_life,
        at_once=front.at_once,
        web=front.web,
        api=front.api,
        secret=front.secret,
        servers="".join(servers),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _redirect(front: Front) -> str:
    listen = [
        f"        listen {_endpoint(address, front.redirect_port)} default_server;" for address in front.addresses
    ]
    to = "" if front.port == 443 else f":{front.port}"
    return _REDIRECT.substitute(listen="\n".join(listen), to=to)


def _api(front: Front) -> str:
    tls = _API_TLS.substitute(authority=front.api_authority, name=front.api_name) if front.api_authority else ""
    pages = "\n".join(f"            {page}" for page in _pages())
    return _API.substitute(tls=tls, scheme="https" if front.api_authority else "http", pages=pages)


def _server(front: Front, build: Build, port: int, locations: str) -> str:
    directive = build.http2 and build.version >= _HTTP2_DIRECTIVE
    words = "ssl http2" if build.http2 and not directive else "ssl"
    listen = []
    for address in front.addresses:
        endpoint = _endpoint(address, port)
        listen.append(f"        listen {endpoint} {words} default_server;")
        if build.http3:
            # A datagram has to reach the process that has its connection.
            listen.append(f"        listen {endpoint} quic reuseport default_server;")
    if directive:
        listen.append("        http2 on;")
    advertised = f"        add_header Alt-Svc 'h3=\":{port}\"; ma=86400';" if build.http3 else ""
    return _SERVER.substitute(
        listen="\n".join(listen), advertised=advertised, locations=locations, errors="\n".join(_errors())
    )


def _pages() -> Sequence[str]:
    return [f"error_page {' '.join(map(str, statuses))} = @{code};" for _status, code, _words, statuses in _ERRORS]


def _errors() -> Sequence[str]:
    return [
        _ERROR.substitute(status=status, title=_TITLES[status], code=code, words=words, page=page)
        for (status, code, words, _statuses), page in zip(_ERRORS, _pages())
    ]


def endpoint_of(address: str, port: int) -> str:
    """Return where something that listens on an address is reached from the host itself."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1", "": "127.0.0.1"}.get(address, address)
    return _endpoint(reached, port)


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address and not address.startswith("[") else f"{address}:{port}"
