"""The committed gRPC code is what the contract generates."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_generated_code_is_current() -> None:
    generator = Path(__file__).resolve().parent.joinpath("../../../proto/generate.py").resolve()
    if not generator.exists():
        pytest.skip("files/proto is not part of the image's build context")
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip(f"grpcio-tools is not installed: pip install -r {generator.parent}/requirements.txt")
    done = subprocess.run(
        [sys.executable, generator, "--check", "--only", "python"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
