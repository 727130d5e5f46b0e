"""Authorities and certificates for tests, made by OpenSSL's own program."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

from tripod_api.identity import AUTHORITY, CERTIFICATE, KEY

EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
numbers = itertools.count(1)


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)  # noqa: S607


def put(path: Path, text: str) -> None:
    """Replace a file as the role does: by a rename."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.rename(path)


class Authority:
    """Signs certificates.

    Args:
        home: Where it keeps its files.
        days: How long it is good for.
    """

    def __init__(self, home: Path, days: int = 10) -> None:
        self._home = home / f"authority-{next(numbers)}"
        self._home.mkdir()
        subject = ("-subj", f"/CN={self._home.name}", "-days", str(days))
        # Python takes no authority without it since 3.13.
        use = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl("req", "-x509", *EC, *subject, *use, "-keyout", self._home / "key", "-out", self._home / "crt")
        self.text = (self._home / "crt").read_text()

    def issue(self, directory: Path, name: str, days: int = 1, trusted: tuple[Authority, ...] = ()) -> Path:
        """Put a certificate for a name, its key, and whom it trusts into a directory, which is returned.

        One of no days has ended when it is made; OpenSSL 3.5 makes none that ended before.
        """
        directory.mkdir(exist_ok=True)
        request, key, made = (self._home / f"{next(numbers)}" for _ in range(3))
        names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        openssl("req", *EC, *names, "-keyout", key, "-out", request)
        signer = ("-CA", self._home / "crt", "-CAkey", self._home / "key", "-set_serial", str(next(numbers)))
        openssl("x509", "-req", "-in", request, *signer, "-copy_extensions", "copy", "-days", str(days), "-out", made)
        put(directory / AUTHORITY, "".join(one.text for one in trusted or (self,)))
        put(directory / KEY, key.read_text())
        put(directory / CERTIFICATE, made.read_text())
        return directory
