"""An authority of a test's own, as the role pki makes the site's, and what it issues."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*words: str | Path) -> str:
    """Return what the program prints."""
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


class Authority:
    """Whoever issues certificates.

    Args:
        place: For its files and what it issues.
        name: Its own, which differs from that of another one.
    """

    def __init__(self, place: Path, name: str = "first") -> None:
        self.place = place / name
        self.place.mkdir()
        self.certificate = self.place / "ca.crt"
        self._key = self.place / "ca.key"
        usage = (
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-addext",
            "basicConstraints=critical,CA:TRUE,pathlen:0",
        )
        words = ("-subj", f"/CN={name}", "-days", "9", "-keyout", self._key, "-out", self.certificate)
        openssl("req", "-x509", *KEY, *usage, *words)

    def issue(self, service: str, name: str | None = None, dates: Sequence[str] = ("-days", "5")) -> Path:
        """Make a service's key and certificate, and return their directory, which has its authority too.

        Args:
            service: Whose directory it is.
            name: In the certificate; the service's where none is given.
            dates: From when and until when it is good, in the words of openssl.
        """
        place = self.place / service
        place.mkdir(exist_ok=True)
        name = name or service
        extensions = (
            f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth,clientAuth\n"
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        )
        (place / "extensions").write_text(extensions)
        openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", place / "new.key", "-out", place / "request")
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-extfile", place / "extensions")
        openssl("x509", "-req", "-in", place / "request", *signer, *dates, "-out", place / "new.crt")
        (place / "new.key").chmod(0o400)
        for part in ("key", "crt"):
            (place / f"new.{part}").rename(place / f"tls.{part}")
        (place / "ca.crt").write_bytes(self.certificate.read_bytes())
        return place

    def renew(self, place: Path, service: str) -> None:
        """Issue another certificate for the key that a service has, and put it in its place as the role does."""
        openssl("req", "-new", "-key", place / "tls.key", "-subj", f"/CN={service}", "-out", place / "request")
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-extfile", place / "extensions")
        openssl("x509", "-req", "-in", place / "request", *signer, "-days", "5", "-out", place / "new.crt")
        (place / "new.crt").rename(place / "tls.crt")


def serial(place: Path) -> str:
    """Return the number of the certificate in a service's directory."""
    return openssl("x509", "-in", place / "tls.crt", "-noout", "-serial").strip().partition("=")[2]
