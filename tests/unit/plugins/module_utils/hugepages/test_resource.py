"""Huge pages: planned on the recorded state of a machine of two nodes (QEMU's, Debian 13, Linux 6.12)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Impossible,
    Invalid,
    Refused,
    describe,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages import resource as hugepages
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.resource import (
    Desired,
    Hugepages,
    Reservation,
    boot_arguments,
    bring,
    facts,
    reapply,
    reboot_reasons,
    warnings,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._hugepages.state import Pool
from ansible_collections.tripod.baremetal.plugins.module_utils._linux import hugetlbfs
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.hugetlbfs import MARK, Mount

M, G = 2 << 20, 1 << 30
NODES = "/sys/devices/system/node"
MEMINFO = (
    "Node {node} MemTotal:        2022404 kB\nNode {node} MemFree:         1181020 kB\n"
    "Node {node} Active(file):      39920 kB\nNode {node} Inactive(file):   637976 kB\n"
    "Node {node} SReclaimable:      52280 kB\n"
)
BUDDYINFO = """\
Node 0, zone      DMA      0      0      0      0      0      0      0      1      0      1      3
Node 0, zone    DMA32    152     48    128     42     76     43     25     17     10     15    359
Node 1, zone   Normal    371    586    266     91     67     31     27     19     10     11      0
"""
CMDLINE = "BOOT_IMAGE=/boot/vmlinuz-6.12.117+deb13-amd64 root=LABEL=ROOT ro console=ttyS0"


def pool(node, size, total=0, free=0, surplus=0):
    folder = f"{NODES}/node{node}/hugepages/hugepages-{size >> 10}kB"
    counts = {"nr": total, "free": free, "surplus": surplus}
    return {f"{folder}/{name}_hugepages": f"{count}\n" for name, count in counts.items()}


def files(**more):
    found = {
        f"{NODES}/online": "0-1\n",
        "/proc/buddyinfo": BUDDYINFO,
        "/proc/meminfo": "MemTotal:        4015140 kB\nHugepagesize:       2048 kB\n",
        "/proc/cmdline": CMDLINE + "\n",
        "/proc/self/mounts": "hugetlbfs /dev/hugepages hugetlbfs rw,nosuid,nodev,relatime,pagesize=2M 0 0\n",
        "/proc/sys/kernel/osrelease": "6.12.117+deb13-amd64\n",
        "/proc/sys/vm/drop_caches": "0\n",
        "/proc/sys/vm/compact_memory": "0\n",
        "/etc/fstab": "# a comment\nLABEL=ROOT / ext4 rw 0 1\n\n",
        "/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
        "/sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never\n",
        "/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages": "0\n",
        "/sys/kernel/mm/hugepages/hugepages-1048576kB/resv_hugepages": "0\n",
        "/dev/hugepages/.keep": "",
    }
    for node in (0, 1):
        found[f"{NODES}/node{node}/meminfo"] = MEMINFO.format(node=node)
        found[f"{NODES}/node{node}/compact"] = ""
        found.update({**pool(node, M), **pool(node, G)})
    return {**found, **more}


class Kernel(Host):
    """A machine of files whose pools grow and shrink as far as it has pages, like the kernel's."""

    def __init__(self, root, available=None):
        super().__init__(root)
        self.available = available or {}
        self.written = []

    def write_attribute(self, path, text):
        self.written.append((path, text))
        if path.endswith("/nr_hugepages"):
            folder = path.rpartition("/")[0]
            old, free = (self.read_int(f"{folder}/{name}_hugepages") for name in ("nr", "free"))
            count = max(min(int(text), self.available.get(folder, 1 << 30)), old - free)
            super().write_attribute(f"{folder}/free_hugepages", f"{free + count - old}\n")
            text = f"{count}\n"
        super().write_attribute(path, text)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(hugepages, "_PAUSES", (0, 0))


@pytest.fixture
def kernel(machine):
    def make(available=None, **more):
        return Kernel(machine(files(**more)).root, available)

    return make


def desired(*reservations, **more):
    return Desired(reservations=tuple(Reservation(*one) for one in reservations), **more)


def planned(requested, host):
    resource = Hugepages(requested)
    state = resource.read(host)
    resource.validate(requested, state)
    return [describe(change) for change in resource.plan(requested, state) if change.path[0] != "state file"]


def folder(node, size):
    return f"{NODES}/node{node}/hugepages/hugepages-{size >> 10}kB"


def test_reads_nodes_pools_and_modes(kernel):
    state = Hugepages(Desired()).read(kernel(**pool(1, M, 12, 8, 2)))
    assert sorted(state.pools) == [(0, M), (0, G), (1, M), (1, G)]
    assert (state.pools[1, M].reserved, state.pools[1, M].used) == (10, 4)
    assert state.memory[1].total == 2022404 << 10
    assert state.memory[0].largest_free == 4 << 20
    assert state.memory[1].largest_free == 2 << 20
    assert state.transparent["defrag"].chosen == "madvise"
    assert state.default_size == M
    assert state.fstab == {"/"}


def test_a_machine_without_numa_is_node_0(machine):
    host = machine(
        {
            "/proc/meminfo": "MemTotal:        4015140 kB\nMemFree:   1000 kB\n",
            "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "3\n",
            "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "3\n",
            "/sys/kernel/mm/hugepages/other": "",
            "/proc/sys/kernel/osrelease": "6.12.1\n",
        }
    )
    state = Hugepages(Desired()).read(host)
    assert state.pools == {(0, M): Pool(3, 3)}
    assert state.default_size is None
    assert planned(desired((0, M, 4)), host) == ["pages 0 2M: 3 -> 4"]
    assert boot_arguments(desired((0, M, 4), at_boot=(M,)), state) == ["hugepagesz=2M", "hugepages=4"]
    assert warnings(desired((0, M, 4), at_boot=(M,)), state) == []


def test_gives_pages_back_first_and_takes_large_ones_before_small_ones(kernel):
    host = kernel(**pool(0, M, 64, 64), **pool(1, G, 1, 1))
    requested = desired((1, M, 8), (0, M, 32), (0, G, 1), (1, G, 0))
    assert planned(requested, host) == [
        "pages 1 1G: 1 -> 0",
        "pages 0 2M: 64 -> 32",
        "pages 0 1G: 0 -> 1",
        "pages 1 2M: 0 -> 8",
    ]


def test_only_what_is_asked_is_compared(kernel):
    host = kernel(**pool(0, M, 64, 64))
    assert planned(desired((1, M, 0)), host) == []
    assert planned(desired(transparent={"enabled": "always"}), host) == []


@pytest.mark.parametrize(
    ("requested", "kind", "words"),
    [
        (desired((0, M, 1), (0, M, 2)), Invalid, "node 0: pages of 2 MiB are asked for twice"),
        (desired((0, M, -1)), Invalid, "a count is 0 or more"),
        (desired(transparent={"khugepaged": "1"}), Invalid, "not one of enabled, defrag"),
        (desired(mounts=(Mount("/mnt", M), Mount("/mnt", G))), Invalid, "mounted twice"),
        (desired(mounts=(Mount("mnt", M),)), Invalid, "an absolute path"),
        (desired(mounts=(Mount("/mnt/a b", M),)), Invalid, "an absolute path"),
        (desired(mounts=(Mount("/mnt", M, limit=M + 1),)), Invalid, "no multiple of its pages of 2 MiB"),
        (desired((0, 16 << 20, 1)), Impossible, "no huge pages of 16 MiB: it has 2 MiB, 1 GiB"),
        (desired(default_size=16 << 20), Impossible, "no huge pages of 16 MiB"),
        (desired((2, M, 1)), Impossible, "node 2 does not exist: this machine has 0, 1"),
        (desired((1, G, 2)), Impossible, "node 1: 2 pages of 1 GiB take 2 GiB, the node has 1.9 GiB"),
        (desired((1, G, 1), (1, M, 500)), Impossible, "500 pages of 2 MiB and 1 pages of 1 GiB take 2 GiB"),
        (desired((0, G, 1), (1, G, 1), keep=2 << 30), Impossible, "must be left with 2 GiB"),
        (desired(transparent={"enabled": "some"}), Impossible, "some is not one of always, madvise, never"),
        (desired(mounts=(Mount("/", M),)), Invalid, "absolute path"),
    ],
)
def test_refuses_before_anything_is_changed(kernel, requested, kind, words):
    host = kernel()
    with pytest.raises(kind, match=words):
        bring(requested, host)
    assert host.written == []


def test_a_kernel_without_transparent_huge_pages_says_so(kernel):
    host = kernel(**{"/sys/kernel/mm/transparent_hugepage/enabled": ""})
    with pytest.raises(Impossible, match="no transparent huge pages"):
        bring(desired(transparent={"enabled": "never"}), host)


@pytest.mark.parametrize(
    ("mount", "more", "words"),
    [
        (Mount("/srv", M), {"/proc/self/mounts": "tmpfs /srv tmpfs rw 0 0\n"}, "type tmpfs is mounted there"),
        (Mount("/dev/hugepages", G), {}, "somebody else mounted huge pages of 2 MiB there"),
        (Mount("/dev/hugepages", M, limit=M), {}, "somebody else mounted"),
        (Mount("/srv", M), {"/etc/fstab": "nodev /srv hugetlbfs rw 0 0\n"}, "is in /etc/fstab"),
        (
            Mount("/srv", M),
            {"/etc/systemd/system/srv.mount": "x", "/etc/systemd/system/local-fs.target.wants/srv.mount": "x"},
            "srv.mount is not ours",
        ),
    ],
)
def test_leaves_mounts_of_others_alone(kernel, mount, more, words):
    host = kernel(**more)
    with pytest.raises(Refused, match=words):
        bring(desired(mounts=(mount,)), host)
    assert host.written == []


def test_pages_in_use_are_not_taken_away(kernel):
    maps = "7f00 default file=/anon_hugepage huge dirty=6 N0=6 kernelpagesize_kB=2048\n"
    host = kernel(
        **pool(0, M, 64, 58),
        **{"/proc/41/numa_maps": maps, "/proc/41/comm": "dpdk\n", "/proc/42/numa_maps": "7f01 default\n"},
    )
    with pytest.raises(Refused, match=r"6 pages of 2 MiB are in use, 4 would be left \(dpdk \(process 41\): 6\)"):
        bring(desired((0, M, 4)), host)
    assert planned(desired((0, M, 6)), host) == ["pages 0 2M: 64 -> 6"]


def test_pages_in_use_that_no_process_maps_are_told_of(kernel):
    with pytest.raises(Refused, match="files of a hugetlbfs mount"):
        bring(desired((0, M, 4)), kernel(**pool(0, M, 64, 58)))


def test_promised_pages_are_kept(kernel):
    promised = {"/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages": "10\n"}
    host = kernel(**pool(0, M, 64, 64), **pool(1, M, 4, 4), **promised)
    with pytest.raises(Refused, match="0 are in use and 10 promised to programs that mapped them, 9 would be left"):
        bring(desired((0, M, 5)), host)
    assert planned(desired((0, M, 6)), host) == ["pages 0 2M: 64 -> 6"]
    assert planned(desired((0, M, 65)), host) == ["pages 0 2M: 64 -> 65"]


def test_brings_pages_modes_and_the_document(kernel):
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


def test_nothing_asked_leaves_no_trace(kernel):
    host = kernel()
    assert not bring(Desired(), host).changed
    assert not bring(Desired(present=False), host).changed
    assert host.list("/etc/tripod/host.d") == []


def test_absent_puts_the_first_counts_back(kernel):
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


def test_absent_puts_modes_back(kernel):
    host = kernel()
    held = {**desired(transparent={"enabled": "madvise"}).as_body(), "original": {"transparent": {"enabled": "never"}}}
    state_store.store(host, state_store.StateFile("hugepages", "hugepages", held))
    assert planned(Desired(present=False), host) == ["transparent enabled: always -> never"]


def test_a_shortfall_puts_everything_back_and_says_why(kernel):
    host = kernel({folder(1, M): 40}, **pool(0, M, 8, 8))
    with pytest.raises(ApplyFailed) as caught:
        bring(desired((0, M, 4), (1, M, 64)), host)
    assert str(caught.value) == (
        "huge pages: node 1: 64 pages of 2 MiB are wanted, 40 could be had: 1.1 GiB are free and "
        "713.1 MiB reclaimable, the largest free block is 2 MiB; let caches be dropped (drop_caches), or free memory "
        "on that node, or reserve 2M at boot (at_boot), or ask for fewer; the counts before are back"
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


def test_what_could_not_be_put_back_is_told(kernel):
    host = kernel({folder(1, M): 40, folder(0, M): 4}, **pool(0, M, 8, 8))
    with pytest.raises(ApplyFailed, match="not put back: node 0 has 4 of 8 pages of 2 MiB"):
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
    with pytest.raises(ApplyFailed, match=r"nr_hugepages: writing 4: Permission denied.*not put back: .*writing 0"):
        bring(desired((0, M, 4), (1, M, 4)), host)
    assert host.read_int(f"{folder(0, M)}/nr_hugepages") == 8


def test_gigantic_pages_may_wait_for_a_boot(kernel):
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


def test_pages_that_could_be_had_before_the_boot_are_told(kernel):
    host = kernel({folder(1, M): 40})
    outcome = bring(desired((1, M, 64), at_boot=(M,)), host)
    assert describe(outcome.changes[0]) == "pages 1 2M: 0 -> 40"


def test_a_boot_that_did_not_bring_them_is_an_error(kernel):
    host = kernel({folder(1, G): 0}, **{"/proc/cmdline": f"{CMDLINE} hugepagesz=1G hugepages=1:1\n"})
    with pytest.raises(ApplyFailed, match="0 could be had though the host was booted with arguments for them"):
        bring(desired((1, G, 1)), host)


def test_boot_arguments_are_ordered_and_per_node(kernel):
    state = Hugepages(Desired()).read(kernel())
    requested = desired((1, M, 512), (0, G, 1), (1, G, 1), (0, M, 0), at_boot=(M, G), default_size=G)
    tokens = ["default_hugepagesz=1G", "hugepagesz=1G", "hugepages=0:1,1:1", "hugepagesz=2M", "hugepages=1:512"]
    assert boot_arguments(requested, state) == tokens
    assert "the default huge page is 2 MiB, 1 GiB is wanted" in reboot_reasons(requested, state)
    assert reboot_reasons(requested, replace(state, default_size=None))[-1].startswith(
        "the default huge page is unknown"
    )
    assert warnings(requested, state) == []
    old = replace(state, release="5.15.0-91-generic")
    assert boot_arguments(requested, old)[1:3] == ["hugepagesz=1G", "hugepages=2"]
    assert "kernel 5.15.0-91-generic cannot reserve huge pages per node at boot" in warnings(requested, old)[0]
    assert warnings(Desired(), old) == []
    assert boot_arguments(desired((0, G, 0)), state) == []
    assert boot_arguments(Desired(present=False), state) == []
    assert reboot_reasons(Desired(present=False), state) == []


def test_mounts_are_planned_with_their_units(kernel):
    host = kernel()
    mount = Mount("/dev/hugepages-1G", G, 0o1770, 0, 10002)
    assert planned(desired(mounts=(mount,)), host) == [
        "mount /dev/hugepages-1G: absent -> pagesize=1G,mode=1770,uid=0,gid=10002",
        "unit dev-hugepages\\x2d1G.mount: absent -> present",
    ]


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


def test_an_outdated_unit_is_written_anew(kernel):
    host = kernel()
    there = hugetlbfs.read_mount(host, "/dev/hugepages")
    bring(desired(mounts=(there,)), host)
    host.write_atomically("/etc/systemd/system/dev-hugepages.mount", f"{MARK}\n")
    assert planned(desired(mounts=(there,)), host) == ["unit dev-hugepages.mount: outdated -> present"]


def test_a_mount_of_ours_that_is_no_longer_named_goes(kernel):
    mounts = "hugetlbfs /srv hugetlbfs rw,pagesize=2M 0 0\n"
    host = kernel(**{"/proc/self/mounts": mounts, "/srv/.keep": ""})
    mount = Mount("/srv", M)
    held = {**desired(mounts=(mount, Mount("/gone", M))).as_body(), "original": {}}
    state_store.store(host, state_store.StateFile("hugepages", "hugepages", held))
    [step] = planned(Desired(), host)
    assert step.startswith("mount /srv: pagesize=2M")
    assert step.endswith("-> absent")


def test_a_replay_brings_what_was_asked_and_leaves_the_document(kernel):
    host = kernel()
    body = {**desired((1, M, 64), (7, M, 8)).as_body(), "original": {}}
    assert reapply(body, host, check=True).changed
    assert [describe(change) for change in reapply(body, host).changes] == ["pages 1 2M: 0 -> 64"]
    assert not reapply(body, host).changed
    assert host.list("/etc/tripod/host.d") == []


def test_a_replay_for_an_interface_is_not_ours(kernel):
    host = kernel()
    assert not reapply(desired((1, M, 64)).as_body(), host, only=["ens1"]).changed
    assert host.written == []


def test_a_replay_logs_what_is_left_out(kernel, caplog):
    reapply(desired((7, M, 8)).as_body(), kernel())
    assert caplog.messages == ["huge pages of 2M on node 7 are left out: not there now"]


def test_a_body_holds_a_request_whole():
    requested = desired((1, M, 64), default_size=G, mounts=(Mount("/srv", M),), transparent={"defrag": "defer"}, keep=5)
    assert Desired.from_body(requested.as_body()) == requested


def test_holders_end_while_we_look(kernel, monkeypatch):
    host = kernel(**pool(0, M, 64, 58), **{"/proc/41/numa_maps": ""})
    read = Host.read

    def failing(self, path):
        if path.endswith("numa_maps"):
            raise ProcessLookupError
        return read(self, path)

    monkeypatch.setattr(Host, "read", failing)
    with pytest.raises(Refused, match="files of a hugetlbfs mount"):
        bring(desired((0, M, 4)), host)
