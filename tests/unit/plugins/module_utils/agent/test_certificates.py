"""When the certificates of services end, read from what another library made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._agent import certificates
from ansible_collections.tripod.baremetal.plugins.module_utils._agent.metrics import Metrics, render
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

NAME = "tripod_watch_certificate_not_after_timestamp_seconds"


def made(end: datetime, key=None, name: str = "nginx") -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(f"{number}.{name}.example") for number in range(20)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=90))
        .not_valid_after(end)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("end", ["1999-12-31T23:59:59", "2026-11-29", "2049-12-31", "2050-01-01", "2120-02-29"])
def test_the_end_is_found_whichever_way_the_year_is_written(end):
    moment = datetime.fromisoformat(end).replace(tzinfo=UTC)
    assert certificates.not_after(made(moment)) == moment.timestamp()


def test_of_several_the_first_counts_whatever_its_key_and_what_is_written_around_it():
    moment = datetime(2027, 1, 1, tzinfo=UTC)
    text = made(moment, rsa.generate_private_key(65537, 2048)) + made(moment + timedelta(days=999))
    assert certificates.not_after(f"subject=CN = nginx\n{text}") == moment.timestamp()
    assert certificates.not_after(text.replace("\n", "\r\n")) == moment.timestamp()


def test_what_is_no_certificate_is_refused_and_nothing_else_happens():
    good = made(datetime(2027, 1, 1, tzinfo=UTC))
    head, *lines, tail, _end = good.split("\n")
    cut = ["\n".join([head, *lines[:count], tail]) for count in range(len(lines))]
    for text in [
        "",
        "x",
        good.replace("CERTIFICATE", "PRIVATE KEY"),
        f"{head}\nMAA=\n{tail}",
        f"{head}\nMIA=\n{tail}",
        *cut,
    ]:
        with pytest.raises(ValueError, match=r"certificate|value|tag"):
            certificates.not_after(text)


def test_each_service_has_its_own_and_a_broken_one_is_an_alarm(tmp_path):
    end = datetime(2027, 1, 1, tzinfo=UTC)
    for service, name, text in (
        ("postgres", "tls.crt", made(end)),
        ("nginx", "given.crt", made(end + timedelta(days=1))),
        ("webui", "front_secret", "x"),
        ("go-backend", "tls.crt", "nonsense"),
    ):
        (tmp_path / "secrets" / service).mkdir(parents=True)
        (tmp_path / "secrets" / service / name).write_text(text)
    (tmp_path / "secrets" / "nginx" / "tls.crt").write_text(made(end))
    (tmp_path / "secrets" / "gone").mkdir()
    (tmp_path / "secrets" / "gone" / "given.crt").symlink_to("/nonexistent/fullchain.pem")
    (tmp_path / "secrets" / "a_file").write_text("x")
    lines = render(certificates.families(Host(), str(tmp_path))).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        f'{NAME}{{service="go-backend"}} 0.0',
        f'{NAME}{{service="gone"}} 0.0',
        f'{NAME}{{service="nginx"}} {end.timestamp() + 86400}',
        f'{NAME}{{service="postgres"}} {end.timestamp()}',
    ]
    assert render(certificates.families(Host(), "/nonexistent")).count(NAME) == 2


def test_the_watch_tells_it_beside_what_it_counts(tmp_path):
    (tmp_path / "secrets" / "nginx").mkdir(parents=True)
    file = tmp_path / "metrics.prom"
    metrics = Metrics(str(file), lambda: certificates.families(Host(), str(tmp_path)))
    assert f"{NAME}{{" not in file.read_text()
    (tmp_path / "secrets" / "nginx" / "tls.crt").write_text(made(datetime(2027, 1, 1, tzinfo=UTC)))
    metrics.count("patrols")
    assert f'{NAME}{{service="nginx"}} 1798761600.0\n' in file.read_text()
    assert "tripod_watch_patrols_total 1\n" in file.read_text()
