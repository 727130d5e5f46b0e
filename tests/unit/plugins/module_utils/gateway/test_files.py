"""The gateway's import files in a directory."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Refused, converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.files import ImportFiles
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.render import FILES

from .sample import GOLDEN, SAMPLE, with_mapping, with_service

FOLDER = "/srv/config/marchproxy"
LOCAL = ImportFiles(FOLDER, local_names=True)


def test_files_come_and_go_and_others_stay(tmp_path):
    host = Host(tmp_path)
    host.write_atomically(f"{FOLDER}/README", "not ours")
    assert converge(LOCAL, SAMPLE, host, check=True).changed
    assert host.list(FOLDER) == ["README"]
    assert len(converge(LOCAL, SAMPLE, host).changes) == 3
    assert host.path(f"{FOLDER}/services.json").read_bytes() == (GOLDEN / "services.json").read_bytes()
    assert not converge(LOCAL, SAMPLE, host).changed
    changes = converge(LOCAL, with_mapping(listen_port=8443), host).changes
    assert [change.path for change in changes] == [(f"{FOLDER}/mappings.json",), (f"{FOLDER}/import-config.json",)]
    assert converge(LOCAL, None, host).changed
    assert host.list(FOLDER) == ["README"]
    assert not converge(LOCAL, None, host).changed


def test_a_file_that_lacks_its_last_newline_is_another_file(tmp_path):
    host = Host(tmp_path)
    converge(LOCAL, SAMPLE, host)
    path = host.path(f"{FOLDER}/services.json")
    path.write_bytes(path.read_bytes().rstrip())
    assert [change.path for change in converge(LOCAL, SAMPLE, host).changes] == [(f"{FOLDER}/services.json",)]


def test_a_file_that_is_a_directory_is_refused(tmp_path):
    host = Host(tmp_path)
    host.path(f"{FOLDER}/{FILES[0]}").mkdir(parents=True)
    with pytest.raises(Refused, match=r"services.json cannot be read: .*; remove it or choose another directory"):
        converge(LOCAL, SAMPLE, host)


def test_the_directory_is_reported_with_the_fields():
    with pytest.raises(Invalid) as caught:
        ImportFiles("config/marchproxy", local_names=True).validate(with_service(port=0), {})
    directory, port = caught.value.facts["reasons"]
    assert directory == "directory config/marchproxy is not absolute"
    assert "port" in port


def test_names_of_docker_are_refused_unless_they_are_accepted():
    LOCAL.validate(SAMPLE, {})
    with pytest.raises(Invalid) as caught:
        ImportFiles(FOLDER).validate(SAMPLE, {})
    assert len(caught.value.facts["reasons"]) == 3
