# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: which services are to get a certificate, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from ..module_utils._deploy.certificate_names import certificate_names

DOCUMENTATION = r"""
name: certificates_due
short_description: Which services are to get a certificate, and why
version_added: 1.1.0
author: Tripod contributors (@tripod)
description:
  - Compares the certificate of each service with its key, with its name and with the authority that issues now.
positional: keys, issued, authority, days
options:
  _input:
    description: Services, each as P(tripod.baremetal.certificate_names#filter) takes it.
    type: list
    elements: dict
    required: true
  keys:
    description: The C(fingerprint) that M(community.crypto.openssl_privatekey) returns of each key, by service.
    type: dict
    required: true
  issued:
    description: What P(community.crypto.x509_certificate_info#filter) says of each service's certificate, by service.
    type: dict
    required: true
  authority:
    description: What it says of the certificate of the authority that issues now.
    type: dict
    required: true
  days:
    description: One that ends within as many days is due.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: See which certificates are due
  ansible.builtin.debug:
    msg: "{{ [{'service': 'postgres'}] | tripod.baremetal.certificates_due(keys, issued, authority, 30) }}"
"""

RETURN = r"""
_value:
  description: The reason, by service; nothing of those that are not due.
  type: dict
  sample: {"postgres": "its certificate ends on 2027-01-09"}
"""

FORMAT = "%Y%m%d%H%M%SZ"


def certificates_due(
    services: Sequence[Mapping[str, Any]],
    keys: Mapping[str, Mapping[str, str] | None],
    issued: Mapping[str, Mapping[str, Any]],
    authority: Mapping[str, Any],
    days: int,
) -> dict[str, str]:
    """Return why each service that is to get a certificate is to."""
    soon = datetime.now(timezone.utc) + timedelta(days=int(days))
    found = {}
    for service in services:
        name = service["service"]
        names = certificate_names(service)
        found[name] = _reason(names, keys.get(name) or {}, issued.get(name), authority, soon)
    return {name: reason for name, reason in found.items() if reason}


def _reason(
    names: Sequence[str],
    key: Mapping[str, str],
    certificate: Mapping[str, Any] | None,
    authority: Mapping[str, Any],
    soon: datetime,
) -> str | None:
    if certificate is None:
        return "it has no certificate"
    if certificate["public_key_fingerprints"]["sha256"] != key.get("sha256"):
        return "its certificate is for another key"
    if set(certificate["subject_alt_name"] or ()) != set(names):
        return "its certificate is for other names"
    if certificate["authority_key_identifier"] != authority["subject_key_identifier"]:
        return "another key of the authority issues now"
    ends = datetime.strptime(certificate["not_after"], FORMAT).replace(tzinfo=timezone.utc)
    if ends < soon:
        return f"its certificate ends on {ends:%Y-%m-%d}"
    return None


class FilterModule:
    """The collection's filters on certificates."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"certificates_due": certificates_due}
