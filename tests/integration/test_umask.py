"""Whatever the umask of the operator on a host, what modules make there comes out alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.modules import run_module

UMASKS = ("077", "027", "022")


def modes(folder: Path) -> dict[str, str]:
    """Return the permission bits of all that is below a folder."""
    return {
        str(path.relative_to(folder)): f"{path.lstat().st_mode & 0o7777:o}"
        for path in sorted(folder.rglob("*"))
        if not path.is_symlink()
    }


@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [
        (
            "json_file",
            {"path": "{here}/etc/docker/daemon.json", "values": {"live-restore": True}},
            {"etc": "755", "etc/docker": "755", "etc/docker/daemon.json": "644"},
        ),
        (
            "marchproxy_files",
            {"directory": "{here}/config/marchproxy", "app_name": "a", "version": "1"},
            {
                "config": "755",
                "config/marchproxy": "755",
                **{f"config/marchproxy/{name}.json": "644" for name in ("import-config", "mappings", "services")},
            },
        ),
        (
            "secret_files",
            {"secrets": [{"name": "key", "copies": [{"path": "{here}/secrets/a/key", "owner": 10001}]}]},
            {"secrets": "755", "secrets/a": "755", "secrets/a/key": "400"},
        ),
    ],
)
def test_modes_do_not_depend_on_the_umask(
    module: str, options: dict[str, Any], expected: dict[str, str], tmp_path: Path
) -> None:
    for umask in UMASKS:
        here = tmp_path / umask
        here.mkdir()
        given = _placed(options, str(here))
        done = run_module(module, given, within=("sh", "-c", f'umask {umask}; exec "$@"', "sh"))
        assert not done.failed, done.output
        found = modes(here)
        if module == "secret_files":  # whose directories are its own matter, but the same everywhere
            assert found["secrets/a/key"] == expected["secrets/a/key"]
            assert len({tuple(modes(tmp_path / one).items()) for one in UMASKS if (tmp_path / one).exists()}) == 1
        else:
            assert found == expected, umask


def _placed(value: Any, here: str) -> Any:
    if isinstance(value, str):
        return value.replace("{here}", here)
    if isinstance(value, dict):
        return {key: _placed(one, here) for key, one in value.items()}
    return [_placed(one, here) for one in value] if isinstance(value, list) else value
