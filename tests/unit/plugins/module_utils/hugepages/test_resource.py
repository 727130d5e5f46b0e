"""Huge pages brought to a host, restored and reapplied."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import ApplyFailed, Incomplete, describe
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.plan import facts
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.request import Desired
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import Hugepages, bring, reapply
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import hugetlbfs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import MARK

from .nodes import CMDLINE, NODES, G, Kernel, M, desired, folder, planned, pool


def test_brings_pages_modes_and_the_state_file(kernel):
    host = kernel()
    requested = desired((1, M, 64), transparent={"enabled": "madvise"})
    predicted = bring(requested, host, check=True)
    assert host.written == []
    # The kernel shows the choice in brackets.
    done = Hugepages(requested)
    done.apply(host, predicted.changes)
    assert host.read_int(f"{folder(1, M)}/nr_hugepages") == 64
    assert host.written[-1] == ("/sys/kernel/mm/transparent_hugepage/enabled", "madvise")
    held = state_store.load(host, "hugepages")
    assert held.body["reservations"] == [{"node": 1, "size": "2M", "count": 64}]
    assert held.body["original"] == {"pools": {"1:2M": 0}, "transparent": {"enabled": "always"}, "mounted": []}


def test_nothing_requested_leaves_no_trace(kernel):
    host = kernel()
    assert not bring(Desired(), host).changed
    assert not bring(Desired(present=False), host).changed
    assert host.list("/etc/tripod/host.d") == []


def test_absent_restores_the_original_counts(kernel):
    host = kernel(**pool(0, M, 16, 16))
    bring(desired((0, M, 32)), host)
    bring(desired((0, M, 64), (1, M, 8)), host)
    outcome = bring(Desired(present=False), host)
    assert [describe(change) for change in outcome.changes] == [
        "pages 0 2M: 64 -> 16",
        "pages 1 2M: 8 -> 0",
        "state file hugepages: present -> absent",
    ]
    assert not bring(Desired(present=False), host).changed


def test_a_shortfall_restores_everything_and_says_why(kernel):
    host = kernel({folder(1, M): 40}, **pool(0, M, 8, 8))
    with pytest.raises(ApplyFailed) as caught:
        bring(desired((0, M, 4), (1, M, 64)), host)
    assert str(caught.value) == (
        "huge pages: node 1: 64 pages of 2 MiB are requested, 40 could be had: 1.1 GiB are free and "
        "713.1 MiB reclaimable, the largest free block is 2 MiB; let caches be dropped (drop_caches), or free memory "
        "on that node, or reserve 2M at boot (at_boot), or request fewer; the previous counts are restored"
    )
    assert host.read_int(f"{folder(0, M)}/nr_hugepages") == 8
    assert host.read_int(f"{folder(1, M)}/nr_hugepages") == 0
    assert (f"{NODES}/node1/compact", "1") in host.written
    assert ("/proc/sys/vm/drop_caches", "3") not in host.written
    assert host.list("/etc/tripod/host.d") == []


def test_caches_are_dropped_where_that_is_allowed(kernel):
    host = kernel({folder(1, M): 40})
    host.path(f"{NODES}/node1/compact").unlink()
    with pytest.raises(ApplyFailed, match="free memory on that node"):
        bring(desired((1, M, 64), drop_caches=True), host)
    assert ("/proc/sys/vm/drop_caches", "3") in host.written
    assert ("/proc/sys/vm/compact_memory", "1") in host.written


def test_what_could_not_be_restored_is_reported(kernel):
    host = kernel({folder(1, M): 40, folder(0, M): 4}, **pool(0, M, 8, 8))
    with pytest.raises(ApplyFailed, match="not restored: node 0 has 4 of 8 pages of 2 MiB"):
        bring(desired((0, M, 4), (1, M, 64)), host)


def test_a_pool_that_does_not_shrink_is_an_error(kernel):
    class Stubborn(Kernel):
        def write_attribute(self, path, text):
            self.written.append((path, text))

    host = Stubborn(kernel(**pool(0, G, 1, 1)).root)
    with pytest.raises(ApplyFailed, match="the kernel keeps what is in use"):
        bring(desired((0, G, 0)), host)


def test_a_write_that_the_kernel_refuses_names_the_file(kernel):
    class Refusing(Kernel):
        def write_attribute(self, path, text):
            if path.startswith(folder(1, M)):
                raise PermissionError(13, "Permission denied")
            super().write_attribute(path, text)

    host = Refusing(kernel(**pool(0, M, 8, 8)).root)
    with pytest.raises(ApplyFailed, match=r"nr_hugepages: writing 4: Permission denied.*not restored: .*writing 0"):
        bring(desired((0, M, 4), (1, M, 4)), host)
    assert host.read_int(f"{folder(0, M)}/nr_hugepages") == 8


def test_gigantic_pages_may_wait_for_a_reboot(kernel):
    host = kernel({folder(1, G): 0})
    requested = desired((1, G, 1), (0, M, 8))
    outcome = bring(requested, host)
    assert [describe(change) for change in outcome.changes[:1]] == ["pages 0 2M: 0 -> 8"]
    reported = facts(requested, outcome.state)
    assert reported["boot_arguments"] == ["hugepagesz=1G", "hugepages=1:1"]
    assert reported["reboot_required"]
    assert reported["reboot_reasons"] == ["node 1: 0 of 1 pages of 1 GiB are there; boot arguments bring the rest"]
    again = bring(requested, host)
    assert not again.changed, "nothing more could be had"
    assert facts(requested, again.state)["reboot_required"]


def test_pages_that_could_be_had_before_the_reboot_are_reported(kernel):
    host = kernel({folder(1, M): 40})
    outcome = bring(desired((1, M, 64), at_boot=(M,)), host)
    assert describe(outcome.changes[0]) == "pages 1 2M: 0 -> 40"


def test_a_reboot_that_did_not_bring_them_is_an_error(kernel):
    host = kernel({folder(1, G): 0}, **{"/proc/cmdline": f"{CMDLINE} hugepagesz=1G hugepages=1:1\n"})
    with pytest.raises(ApplyFailed, match="0 could be had though the host was booted with arguments for them"):
        bring(desired((1, G, 1)), host)


def test_a_mount_that_is_there_is_adopted_and_outlives_us(kernel):
    host = kernel()
    there = hugetlbfs.read_mount(host, "/dev/hugepages")
    requested = desired(mounts=(there,))
    assert [describe(change) for change in bring(requested, host).changes][:1] == [
        "unit dev-hugepages.mount: absent -> present"
    ]
    assert not bring(requested, host).changed
    assert planned(Desired(), host) == ["unit dev-hugepages.mount: present -> absent"]
    assert planned(Desired(present=False), host) == ["unit dev-hugepages.mount: present -> absent"]
    bring(Desired(present=False), host)
    assert host.list("/etc/systemd/system") == ["local-fs.target.wants"]


def test_an_outdated_unit_is_rewritten(kernel):
    host = kernel()
    there = hugetlbfs.read_mount(host, "/dev/hugepages")
    bring(desired(mounts=(there,)), host)
    host.write_atomically("/etc/systemd/system/dev-hugepages.mount", f"{MARK}\n")
    assert planned(desired(mounts=(there,)), host) == ["unit dev-hugepages.mount: outdated -> present"]


def test_reapplying_brings_what_was_requested_and_leaves_the_state_file(kernel):
    host = kernel()
    body = {**desired((1, M, 64), (7, M, 8)).as_body(), "original": {}}
    assert reapply(body, host, check=True).changed
    assert [describe(change) for change in reapply(body, host).changes] == ["pages 1 2M: 0 -> 64"]
    assert not reapply(body, host).changed
    assert host.list("/etc/tripod/host.d") == []


def test_reapplying_for_an_interface_is_not_ours(kernel):
    host = kernel()
    assert not reapply(desired((1, M, 64)).as_body(), host, only=["ens1"]).changed
    assert host.written == []


def test_reapplying_logs_what_is_left_out(kernel, caplog):
    reapply(desired((7, M, 8)).as_body(), kernel())
    assert caplog.messages == ["huge pages of 2M on node 7 are left out: not there now"]


class TestEachIsBroughtAsFarAsItCanBe:
    """A boot has to go on with what there is."""

    def failing(self, requested, host, **more):
        with pytest.raises(Incomplete) as caught:
            reapply(requested.as_body(), host, **more)
        return caught.value

    def test_a_gigantic_page_that_cannot_be_had_leaves_the_small_ones_and_the_modes(self, kernel):
        booted = {"/proc/cmdline": f"{CMDLINE} hugepagesz=1G hugepages=0:1\n"}
        host = kernel({folder(0, G): 0}, **booted)
        requested = desired((0, G, 1), (1, M, 128), transparent={"enabled": "madvise"}, keep=0)
        error = self.failing(requested, host)
        assert list(error.failures) == ["pages 0 1G", "transparent enabled"]
        assert (
            "1 pages of 1 GiB are requested, 0 could be had though the host was booted" in error.failures["pages 0 1G"]
        )
        # The files of this test do not show the choice in brackets, as the kernel does.
        assert "read back as before" in error.failures["transparent enabled"]
        assert host.read_int(f"{folder(1, M)}/nr_hugepages") == 128
        assert ("/sys/kernel/mm/transparent_hugepage/enabled", "madvise") in host.written
        assert [describe(change) for change in error.outcome.changes] == ["pages 1 2M: 0 -> 128"]

    def test_part_of_the_pages_is_kept_and_tried_again(self, kernel):
        host = kernel({folder(0, M): 40})
        error = self.failing(desired((0, M, 64), (1, M, 8)), host)
        assert list(error.failures) == ["pages 0 2M"]
        assert [describe(change) for change in error.outcome.changes] == ["pages 0 2M: 0 -> 40", "pages 1 2M: 0 -> 8"]
        assert host.read_int(f"{folder(0, M)}/nr_hugepages") == 40
        host.available.clear()
        assert [describe(change) for change in reapply(desired((0, M, 64), (1, M, 8)).as_body(), host).changes] == [
            "pages 0 2M: 40 -> 64"
        ]

    def test_a_node_with_less_memory_than_before_spoils_no_other(self, kernel):
        host = kernel()
        error = self.failing(desired((0, G, 64), (0, M, 16), (1, M, 8)), host)
        assert list(error.failures) == ["pages 0 1G"]
        assert [host.read_int(f"{folder(node, M)}/nr_hugepages") for node in (0, 1)] == [16, 8]
        assert list(self.failing(desired((0, G, 64), (1, M, 8)), host, check=True).failures) == ["pages 0 1G"]

    def test_a_write_that_is_refused_spoils_no_other(self, kernel):
        class Refusing(Kernel):
            def write_attribute(self, path, text):
                if path.startswith(folder(0, M)):
                    raise PermissionError(13, "Permission denied")
                super().write_attribute(path, text)

        host = Refusing(kernel().root)
        error = self.failing(desired((0, M, 4), (1, M, 4)), host)
        assert "writing 4: Permission denied" in error.failures["pages 0 2M"]
        assert host.read_int(f"{folder(1, M)}/nr_hugepages") == 4

    def test_a_mode_or_a_mount_that_this_kernel_lacks_spoils_no_other(self, kernel):
        host = kernel()
        there = hugetlbfs.read_mount(host, "/dev/hugepages")
        bring(desired(mounts=(there,)), host)
        host.write_atomically("/etc/fstab", "none /dev/hugepages hugetlbfs defaults 0 0\n")
        requested = desired((1, M, 8), transparent={"enabled": "nosuch"}, mounts=(there,))
        error = self.failing(requested, host)
        assert list(error.failures) == ["transparent enabled", "mount /dev/hugepages"]
        assert "nosuch is not one of" in error.failures["transparent enabled"]
        assert "is in /etc/fstab" in error.failures["mount /dev/hugepages"]
        assert host.read_int(f"{folder(1, M)}/nr_hugepages") == 8
        assert host.exists("/etc/systemd/system/dev-hugepages.mount"), "it is ours, and still requested"


class TestARunThatFailsHalfWay:
    @pytest.fixture
    def failed(self, kernel):
        class Refusing(Kernel):
            def write_attribute(self, path, text):
                if path.endswith("transparent_hugepage/enabled"):
                    raise OSError(22, "Invalid argument")
                super().write_attribute(path, text)

        host = Refusing(kernel(**pool(0, M, 8, 8)).root)
        with pytest.raises(ApplyFailed) as caught:
            bring(desired((0, M, 64), transparent={"enabled": "madvise"}), host)
        return host, caught.value

    def test_says_what_stands(self, failed):
        host, error = failed
        assert "writing madvise: Invalid argument" in str(error)
        assert "what was changed before stands: pages 0 2M: 8 -> 64; the original values are saved" in str(error)
        assert error.facts["stands"] == ["pages 0 2M: 8 -> 64"]
        assert host.read_int(f"{folder(0, M)}/nr_hugepages") == 64

    def test_can_be_taken_back(self, failed):
        host, _error = failed
        assert state_store.load(host, "hugepages").body["reservations"] == []
        assert not reapply(state_store.load(host, "hugepages").body, host).changed
        bring(Desired(present=False), host)
        assert host.read_int(f"{folder(0, M)}/nr_hugepages") == 8
        assert host.list("/etc/tripod/host.d") == []
