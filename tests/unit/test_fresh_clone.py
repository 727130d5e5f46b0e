"""What a newcomer runs by hand in a clone that nothing was prepared in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What ansible-lint reads of a clone, beside what it is told to look at.
PARTS = (".ansible-lint", "ansible.cfg", "galaxy.yml", "meta", "requirements.yml", "roles/webui", "plugins")


def test_ansible_lint_takes_no_missing_collection_for_errors_of_ours(tmp_path: Path) -> None:
    """It fetches what the roles use, or says in words that it cannot; no Galaxy answers here."""
    clone = tmp_path / "clone"
    tracked = subprocess.run(["git", "ls-files", "-z", *PARTS], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in tracked.stdout.split("\0")[:-1]:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes((ROOT / name).read_bytes())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {
        "ANSIBLE_GALAXY_SERVER": "http://127.0.0.1:9",
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "HOME": str(tmp_path),
        "NO_COLOR": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(["ansible-lint"], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "syntax-check" not in said
    assert "unknown-module" not in said
    assert "ansible-galaxy collection install -r" in said
