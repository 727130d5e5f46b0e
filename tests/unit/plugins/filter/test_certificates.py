"""Which certificates are due, on what community.crypto says of certificates that were made here; and where they go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.tripod.baremetal.plugins.filter.certificate_files import certificate_files
from ansible_collections.tripod.baremetal.plugins.filter.certificates_due import certificates_due
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.certificate_names import certificate_names

POSTGRES = {"service": "postgres", "uid": 564}
AUTHORITY = {"subject_key_identifier": "aa:01"}


def certificate(days: float = 90, **other: Any) -> dict[str, Any]:
    """Return what the filter x509_certificate_info says of a certificate of postgres, as far as it is read."""
    ends = datetime.now(UTC) + timedelta(days=days)
    return {
        "public_key_fingerprints": {"sha256": "11:22", "sha1": "33"},
        "subject_alt_name": ["DNS:postgres"],
        "authority_key_identifier": "aa:01",
        "not_after": f"{ends:%Y%m%d%H%M%SZ}",
        **other,
    }


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (certificate(), None),
        (certificate(days=30.1), None),
        (certificate(days=29.9), "its certificate ends on 20"),
        (certificate(days=-1), "its certificate ends on 20"),
        (None, "it has no certificate"),
        (certificate(public_key_fingerprints={"sha256": "44:55"}), "its certificate is for another key"),
        (certificate(subject_alt_name=["DNS:postgres", "DNS:other"]), "its certificate is for other names"),
        (certificate(subject_alt_name=None), "its certificate is for other names"),
        (certificate(authority_key_identifier="aa:02"), "another key of the authority issues now"),
    ],
)
def test_what_is_due_has_a_reason(found, reason):
    issued = {"postgres": found} if found else {}
    due = certificates_due([POSTGRES], {"postgres": {"sha256": "11:22"}}, issued, AUTHORITY, "30")
    assert due.get("postgres", "").startswith(reason or "")
    assert list(due) == (["postgres"] if reason else [])


def test_a_key_that_nobody_could_read_is_another_key():
    assert certificates_due([POSTGRES], {"postgres": None}, {"postgres": certificate()}, AUTHORITY, 30)


def test_further_names_are_in_a_certificate_once_and_in_any_order():
    names = ["UI.example", "192.0.2.10", "::1", "0:0::1", "0.0.0.0", "::", "ui.example"]
    front = {"service": "nginx", "uid": 0, "names": names}
    found = certificate_names(front)
    assert found == ["DNS:nginx", "DNS:ui.example", "IP:192.0.2.10", "IP:::1"]
    issued = {"nginx": certificate(subject_alt_name=sorted(found))}
    keys = {"nginx": {"sha256": "11:22"}}
    assert certificates_due([front], keys, issued, AUTHORITY, 30) == {}
    more = {**front, "names": [*names, "192.0.2.11"]}
    assert certificates_due([more], keys, issued, AUTHORITY, 30) == {"nginx": "its certificate is for other names"}


def test_files_lie_beside_the_secrets_of_who_has_certificates():
    services = [{"service": "api", "uid": "561"}, {"service": "db", "uid": 564}]
    trusted = certificate_files(services, "/etc/x", "ca.crt", "PEM")
    assert [one["copies"] for one in trusted] == [
        [{"path": "/etc/x/secrets/api/ca.crt", "owner": 561, "group": 561}],
        [{"path": "/etc/x/secrets/db/ca.crt", "owner": 564, "group": 564}],
    ]
    assert {one["value"] for one in trusted} == {"PEM\n"}
    assert {one["multiline"] for one in trusted} == {True}
    [own] = certificate_files(services, "/etc/x", "tls.crt", {"db": "OWN", "gone": "OTHER"})
    assert (own["name"], own["value"]) == ("tls.crt of db", "OWN\n")
