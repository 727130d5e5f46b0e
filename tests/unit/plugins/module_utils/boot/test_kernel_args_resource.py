"""Boot arguments: what is planned, what is written in which order, and what a power cut leaves behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._boot import kernel_args_loader
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_plan import (
    contains_run,
    facts,
    predicted,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_resource import KernelArguments
from ansible_collections.tripod.baremetal.plugins.module_utils._boot.kernel_args_state import DROP_IN
from ansible_collections.tripod.baremetal.plugins.module_utils._core import state_store
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import (
    ApplyFailed,
    Impossible,
    Invalid,
    Refused,
    converge,
    describe,
)
from ansible_collections.tripod.baremetal.plugins.module_utils._core.state_store import StateFile

RECORDED = Path(__file__).parents[1] / "linux" / "recorded" / "grub"
CONFIG = "/boot/grub/grub.cfg"
PAGES = ["hugepagesz=1G", "hugepages=4", "hugepagesz=2M", "hugepages=512"]


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(kernel_args_loader, "_mkconfig", lambda: "/usr/sbin/grub-mkconfig")


@pytest.fixture
def grub(machine):
    """Return a function that makes a machine with GRUB, booted with what it would boot with now."""

    def make(name="debian13", running="root=LABEL=ROOT ro console=ttyS0", **more):
        files = {
            CONFIG: (RECORDED / f"{name}.cfg").read_text(),
            "/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="console=ttyS0"\n',
            "/proc/cmdline": f"BOOT_IMAGE=/boot/vmlinuz {running}\n",
            "/proc/sys/kernel/random/boot_id": "8a3e6f7e\n",
        }
        return machine({**files, **more})

    return make


class Generator:
    """Makes grub.cfg from the drop-in as grub-mkconfig does; tests/integration has the real one."""

    def __init__(self, host, fails=False, deaf=False):
        self.host, self.fails, self.deaf, self.calls = host, fails, deaf, 0
        self.bare = host.read(CONFIG)

    def __call__(self, path):
        self.calls += 1
        if self.fails:
            Path(f"{path}.new").write_text("half")
            raise ApplyFailed("grub-mkconfig failed (1): no space")
        text = "" if self.deaf else self.host.read(DROP_IN) or ""
        added = subprocess.run(
            ["sh", "-c", f'{text}\nprintf %s "$GRUB_CMDLINE_LINUX_DEFAULT"'], check=True, capture_output=True, text=True
        ).stdout.strip()
        lines = [
            f"{line} {added}".rstrip() if line.lstrip().startswith("linux") and "single" not in line else line
            for line in self.bare.splitlines()
        ]
        Path(path).write_text("\n".join(lines) + "\n")


def bring(host, arguments, generator=None, check=False):
    generator = generator or Generator(host)
    return converge(KernelArguments(arguments, generator), arguments, host, check=check)


def reported(host, arguments, check=False):
    return facts(arguments, bring(host, arguments, check=check).state, check)


def boot(host):
    """Reboot the machine, with what its grub.cfg says."""
    state = KernelArguments([]).read(host)
    host.write_atomically("/proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz " + " ".join(state.pending) + "\n")


def test_repeated_arguments_go_through_config_pending_and_running(grub):
    host = grub()
    generator = Generator(host)
    before = reported(host, PAGES, check=True)
    assert before["pending"] == ["root=LABEL=ROOT", "ro", "console=ttyS0", *PAGES]
    assert generator.calls == 0
    outcome = bring(host, PAGES, generator)
    assert [describe(change) for change in outcome.changes] == [
        f"{DROP_IN} arguments: absent -> {' '.join(PAGES)}",
        f"{CONFIG} linux: root=LABEL=ROOT ro console=ttyS0 -> root=LABEL=ROOT ro console=ttyS0 {' '.join(PAGES)}",
    ]
    result = facts(PAGES, outcome.state, False)
    assert result["pending"] == before["pending"]
    assert result["reboot_reasons"] == [f"boot arguments {' '.join(PAGES)} are set for the next boot and not in effect"]
    assert result["entry"] == "Debian GNU/Linux"
    boot(host)
    assert not bring(host, PAGES, generator).changed
    assert generator.calls == 1, "grub.cfg is made only when it has to be"
    assert not reported(host, PAGES)["reboot_required"]
    assert reported(host, PAGES)["boot_id"] == "8a3e6f7e"


def test_recovery_entries_do_not_get_them(grub):
    host = grub("debian12")
    bring(host, ["isolcpus=2"])
    assert [line for line in host.read(CONFIG).splitlines() if "single" in line and "isolcpus" in line] == []


def test_the_order_counts(grub):
    host = grub(running="root=LABEL=ROOT ro console=ttyS0 b=2 a=1")
    bring(host, ["a=1", "b=2"])
    assert reported(host, ["a=1", "b=2"])["reboot_reasons"] == ["boot arguments a=1 b=2 are in effect in another order"]


def test_a_removed_argument_is_saved_until_a_boot_without_it(grub):
    host = grub()
    bring(host, ["a=1", "b=2"])
    boot(host)
    generator = Generator(host)
    generator.bare = (RECORDED / "debian13.cfg").read_text()
    changes = bring(host, ["b=2"], generator).changes
    assert describe(changes[0]) == f"{DROP_IN} arguments: a=1 b=2 -> b=2 (removed, until a boot without them: a=1)"
    assert reported(host, ["b=2"])["reboot_reasons"] == ["boot arguments a=1 were removed and are still in effect"]
    boot(host)
    assert not bring(host, ["b=2"]).changed
    assert not reported(host, ["b=2"])["reboot_required"]


def test_an_empty_list_removes_only_what_is_ours(grub):
    host = grub()
    generator = Generator(host)
    bring(host, ["a=1"], generator)
    boot(host)
    assert bring(host, [], generator).changed
    assert not bring(host, [], generator).changed, "the running kernel still has it, so the comment stays"
    assert reported(host, [])["reboot_reasons"] == ["boot arguments a=1 were removed and are still in effect"]
    boot(host)
    assert [describe(change) for change in bring(host, [], generator).changes] == [
        f"{DROP_IN} arguments:  (removed, until a boot without them: a=1) -> absent"
    ]
    assert host.read(CONFIG) == (RECORDED / "debian13.cfg").read_text().rstrip("\n")
    assert host.list("/etc/default/grub.d") == []
    assert not bring(host, [], generator).changed


def test_an_argument_that_never_ran_goes_at_once(grub):
    host = grub()
    generator = Generator(host)
    bring(host, ["a=1"], generator)
    bring(host, [], generator)
    assert host.list("/etc/default/grub.d") == []
    assert not reported(host, [])["reboot_required"]


def test_nothing_is_requested_of_a_machine_without_a_boot_loader(machine):
    host = machine({"/proc/cmdline": "quiet\n"})
    assert not bring(host, [], lambda path: None).changed


def test_what_others_set_too_is_not_missed_when_it_goes(grub):
    host = grub(**{"/etc/default/grub": 'GRUB_CMDLINE_LINUX="console=ttyS0"\n'})
    generator = Generator(host)
    bring(host, ["console=ttyS0", "a=1"], generator)
    boot(host)
    bring(host, [], generator)
    assert reported(host, [])["reboot_reasons"] == ["boot arguments a=1 were removed and are still in effect"]


@pytest.mark.parametrize("moment", ["drop-in written", "grub.cfg made"])
def test_a_power_cut_leaves_what_the_next_run_mends(grub, moment):
    host = grub()
    live = host.read(CONFIG)

    def cut(path):
        if moment == "grub.cfg made":
            Path(path).write_text("menuentry 'half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(host, ["a=1"], cut)
    assert host.read(CONFIG) == live, "what boots is whole at any moment"
    assert host.list("/boot/grub") == ["grub.cfg"]
    outcome = bring(host, ["a=1"])
    assert [change.path[0] for change in outcome.changes] == [CONFIG]
    assert contains_run(outcome.state.pending, ["a=1"])


def test_a_power_cut_in_a_removal_is_mended_too(grub):
    host = grub()
    generator = Generator(host)
    bring(host, ["a=1"], generator)

    def cut(path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(host, [], cut)
    assert bring(host, [], generator).changed
    assert "a=1" not in KernelArguments([]).read(host).pending
    assert host.list("/etc/default/grub.d") == []


@pytest.mark.parametrize("before", [None, ["a=0"]])
def test_a_failure_restores_the_drop_in(grub, before):
    host = grub()
    generator = Generator(host)
    if before:
        bring(host, before, generator)
    held, live = host.read(DROP_IN), host.read(CONFIG)
    with pytest.raises(ApplyFailed, match="no space"):
        bring(host, ["a=1"], Generator(host, fails=True))
    assert (host.read(DROP_IN), host.read(CONFIG)) == (held, live)
    assert host.list("/boot/grub") == ["grub.cfg"]


def test_a_grub_cfg_without_our_arguments_does_not_go_live(grub):
    host = grub()
    live = host.read(CONFIG)
    with pytest.raises(ApplyFailed, match=r"boots 'Debian GNU/Linux' with .* not with 'a=1'.* look for a file"):
        bring(host, ["a=1"], Generator(host, deaf=True))
    assert (host.read(DROP_IN), host.read(CONFIG)) == (None, live)


def test_a_grub_cfg_that_keeps_what_is_removed_does_not_go_live(grub):
    host = grub()
    bring(host, ["a=1"])
    with pytest.raises(ApplyFailed, match="still boots 'Debian GNU/Linux' with 'a=1'"):
        bring(host, [], Generator(host, deaf=True))
    assert host.exists(DROP_IN)


def test_a_generator_that_makes_nothing_is_an_error(grub):
    with pytest.raises(ApplyFailed, match="grub-mkconfig made nothing"):
        bring(grub(), ["a=1"], lambda path: None)


def test_a_linked_grub_cfg_stays_a_link(grub):
    host = grub()
    host.path(CONFIG).rename(host.path("/boot/real.cfg"))
    host.path(CONFIG).symlink_to("../real.cfg")
    bring(host, ["a=1"])
    assert host.path(CONFIG).is_symlink()
    assert "a=1" in host.read("/boot/real.cfg")


def test_a_drop_in_that_somebody_edited_is_rewritten(grub):
    host = grub()
    bring(host, ["a=1"])
    host.write_atomically(DROP_IN, host.read(DROP_IN) + "\n# mine\n")
    assert [describe(change) for change in bring(host, ["a=1"]).changes] == [f"{DROP_IN} arguments: outdated -> a=1"]
    assert not bring(host, ["a=1"]).changed


def test_values_with_blanks_are_quoted(grub):
    host = grub()
    bring(host, ['dyndbg="file a.c +p"', "a=1"])
    assert '$GRUB_CMDLINE_LINUX_DEFAULT dyndbg=\\"file a.c +p\\" a=1"' in host.read(DROP_IN)
    boot(host)
    host.write_atomically("/proc/cmdline", 'ro "dyndbg=file a.c +p" a=1\n')
    assert not bring(host, ['dyndbg="file a.c +p"', "a=1"]).changed
    assert not reported(host, ['dyndbg="file a.c +p"', "a=1"])["reboot_required"]


def test_grubs_own_variable_stays_last(grub):
    host = grub("ubuntu2404", "root=UUID=5f0c1d5e ro quiet splash")
    state = KernelArguments([]).read(host)
    assert predicted(["a=1"], state) == ("root=UUID=5f0c1d5e", "ro", "quiet", "splash", "a=1", "$vt_handoff")


@pytest.mark.parametrize("token", ["", "a b", 'a="b', "=b", "-a", "a=é", "a='b'", "a\nb", "a=\\", 'a="b\tc"', 'a="b"c'])
def test_refuses_what_grub_would_not_pass_on_unchanged(grub, token):
    with pytest.raises(Invalid, match="is no boot argument"):
        bring(grub(), [token])


def test_signs_that_a_shell_and_grub_read_as_theirs_are_quoted_for_both(grub):
    host = grub()
    tokens = ["memmap=64K$0x18690000", "memmap=4G!8G", 'acpi_osi="!Windows 2012"', "ivrs_ioapic[10]=00:14.0", "a=`b`"]
    bring(host, tokens)
    assert host.read(DROP_IN).splitlines()[-1] == (
        "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT 'memmap=64K\\$0x18690000' 'memmap=4G!8G' "
        "'acpi_osi=!Windows 2012' ivrs_ioapic[10]=00:14.0 'a=\\`b\\`'\""
    )
    assert not bring(host, tokens).changed
    running = 'ro memmap=64K$0x18690000 memmap=4G!8G "acpi_osi=!Windows 2012" ivrs_ioapic[10]=00:14.0 a=`b`\n'
    host.write_atomically("/proc/cmdline", running)
    assert not bring(host, tokens).changed
    assert not reported(host, tokens)["reboot_required"]


def test_the_cpu_plan_of_the_host_is_not_contradicted(grub):
    host = grub()
    state_store.store(host, StateFile("cpu_isolation", "cpu_isolation", {"isolated": "2-3"}))
    resource = KernelArguments(["isolcpus=domain,4-5", "nohz_full=2,3"], Generator(host), beside_plan=True)
    with pytest.raises(Refused) as caught:
        converge(resource, ["isolcpus=domain,4-5", "nohz_full=2,3"], host)
    assert caught.value.facts["reasons"] == [
        "isolcpus=domain,4-5: the CPU plan of this host (cpu_isolation) isolates 2-3: leave it out, or change that "
        "plan first"
    ]
    assert bring(host, ["isolcpus=domain,4-5"], check=True).changed, "the plan may be about to change"


@pytest.mark.parametrize("token", ["root=/dev/sda1", "BOOT_IMAGE=x", "initrd=x"])
def test_leaves_to_the_boot_loader_what_is_its_own(grub, token):
    with pytest.raises(Invalid, match="is the boot loader's to set"):
        bring(grub(), [token])


def test_more_than_the_kernel_reads_is_refused(grub):
    with pytest.raises(Impossible, match=r"would have 20\d\d characters, the kernel reads 2047"):
        bring(grub(), [f"a={'x' * 2020}"])


def test_conflicts_are_reported(grub):
    defaults = 'GRUB_CMDLINE_LINUX="console=ttyS0 intel_pstate=disable"\n'
    host = grub(running="ro", **{"/etc/default/grub": defaults})
    assert reported(host, ["intel_pstate=passive", "console=tty0"])["conflicts"] == [
        "/etc/default/grub line 1 sets intel_pstate=disable, which intel_pstate=passive comes after"
    ]


def test_what_is_set_after_ours_is_not_said_to_come_before(grub):
    after = {
        "/etc/default/grub.d/zzz.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT a=3 isolcpus=1"\n'
        'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b=4"\n'
    }
    assert reported(grub(running="ro", **after), ["a=1", "b=2", "isolcpus=2"])["conflicts"] == [
        "/etc/default/grub.d/zzz.cfg line 1 sets a=3, which comes after a=1: remove it there",
        "/etc/default/grub.d/zzz.cfg line 2 sets b=4, which b=2 comes after",
    ]


def test_other_cpus_before_ours_are_refused_as_the_kernel_keeps_the_first(grub):
    host = grub(**{"/etc/default/grub": 'GRUB_CMDLINE_LINUX="isolcpus=1 nohz_full=2,3"\n'})
    with pytest.raises(Refused) as caught:
        bring(host, ["isolcpus=managed_irq,2-3", "nohz_full=2-3"])
    assert caught.value.facts["reasons"] == [
        "/etc/default/grub line 1 sets isolcpus=1, and the kernel ignores another isolcpus that comes after it: "
        "remove it there"
    ]


def test_conflicts_that_the_kernel_would_decide_against_us_are_refused(grub):
    host = grub(**{"/etc/default/grub": 'GRUB_CMDLINE_LINUX="hugepagesz=1G hugepages=8"\n'})
    with pytest.raises(Refused, match="line 1 sets hugepagesz=1G, and the kernel ignores what comes after it"):
        bring(host, PAGES)
    assert bring(host, ["a=1"]).changed


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no known boot loader"),
        ({"/boot/efi/loader/loader.conf": ""}, r"systemd-boot \(/boot/efi/loader/loader.conf\)"),
        ({"/boot/loader/entries/a.conf": ""}, "boot loader specification entries"),
        ({"/boot/grub2/grub.cfg": ""}, "GRUB as Red Hat and SUSE arrange it"),
    ],
)
def test_other_boot_loaders_are_reported_by_name(machine, files, words):
    with pytest.raises(Impossible, match=words):
        bring(machine(files), ["a=1"], lambda path: None)


def test_systemd_boot_counts_even_beside_a_left_over_grub(grub):
    host = grub()
    variable = host.path(kernel_args_loader._LOADER_INFO)
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\6\0\0\0" + "systemd-boot 257\0".encode("utf-16-le"))
    with pytest.raises(Impossible, match="this machine has systemd-boot 257: set them there"):
        bring(host, ["a=1"])


def test_entries_of_the_boot_loader_specification_are_refused(grub):
    with pytest.raises(Impossible, match="blscfg"):
        bring(grub(**{CONFIG: "insmod blscfg\nblscfg\n"}), ["a=1"])


def test_an_entry_that_cannot_be_determined_is_refused(grub):
    with pytest.raises(Impossible, match="the entry that boots next cannot be determined"):
        bring(grub(**{CONFIG: "menuentry 'Windows' {\n chainloader +1\n}\n"}), ["a=1"])


def test_grub_without_its_tools_is_refused(grub, monkeypatch):
    monkeypatch.setattr(kernel_args_loader, "_mkconfig", lambda: None)
    with pytest.raises(Impossible, match="install grub-common"):
        bring(grub(), ["a=1"])
