"""grub-mkconfig where it fails; tests/integration has the real one."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot import kernel_args_loader
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_loader import grub_mkconfig
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed


def test_what_grub_mkconfig_said_is_in_the_error(monkeypatch, tmp_path):
    script = tmp_path / "grub-mkconfig"
    script.write_text("#!/bin/sh\necho no such disk >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(kernel_args_loader, "_mkconfig", lambda: str(script))
    with pytest.raises(ApplyFailed, match=r"grub-mkconfig failed \(3\): no such disk"):
        grub_mkconfig("/nowhere")
