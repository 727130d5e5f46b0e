"""Which entry GRUB boots next, and with what; grub.cfg files of three distributions."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.grub import (
    DEFAULTS,
    default_entry,
    parse_entries,
    settings,
    split_arguments,
)

RECORDED = Path(__file__).parent / "recorded" / "grub"
OURS = "/etc/default/grub.d/zz-tripod.cfg"


def config(name):
    return (RECORDED / f"{name}.cfg").read_text()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ro quiet  console=ttyS0,115200n8 ", ("ro", "quiet", "console=ttyS0,115200n8")),
        ('dyndbg="file a.c +p" x', ("dyndbg=file a.c +p", "x")),
        ('"dyndbg=file a.c +p" x', ("dyndbg=file a.c +p", "x")),
        ("a='b c'", ("a=b c",)),
        ("", ()),
    ],
)
def test_splits_as_the_kernel_does(text, tokens):
    assert split_arguments(text) == tokens


@pytest.mark.parametrize(
    ("name", "environment", "title", "tokens"),
    [
        ("debian12", "", "Debian GNU/Linux", ("root=LABEL=ROOT", "ro", "console=ttyS0", "quiet")),
        ("debian13", "", "Debian GNU/Linux", ("root=LABEL=ROOT", "ro", "console=ttyS0")),
        ("ubuntu2404", "", "Ubuntu", ("root=UUID=5f0c1d5e", "ro", "quiet", "splash", "$vt_handoff")),
        (
            "debian12",
            "# GRUB Environment Block\nnext_entry=1>3\n####",
            "Debian GNU/Linux, with Linux 6.1.0-28-amd64 (recovery mode)",
            ("root=LABEL=ROOT", "ro", "single", "console=ttyS0"),
        ),
        (
            "ubuntu2404",
            "saved_entry=gnulinux-advanced-5f0c1d5e>gnulinux-6.8.0-45-generic-recovery-5f0c1d5e\n",
            "Ubuntu, with Linux 6.8.0-45-generic (recovery mode)",
            ("root=UUID=5f0c1d5e", "ro", "recovery", "nomodeset", "dis_ucode_ldr"),
        ),
        (
            "ubuntu2404",
            "saved_entry=1\nprev_saved_entry=0\n",
            "Ubuntu",
            ("root=UUID=5f0c1d5e", "ro", "quiet", "splash", "$vt_handoff"),
        ),
        (
            "ubuntu2404",
            "saved_entry=Advanced options for Ubuntu\n",
            "Ubuntu, with Linux 6.8.0-45-generic",
            ("root=UUID=5f0c1d5e", "ro", "quiet", "splash", "$vt_handoff"),
        ),
        ("ubuntu2404", "saved_entry=2\n", "Memory test (memtest86+x64.efi)", ()),
        ("debian13", "next_entry=gone\n", "Debian GNU/Linux", ("root=LABEL=ROOT", "ro", "console=ttyS0")),
        ("debian13", "next_entry=9\n", "Debian GNU/Linux", ("root=LABEL=ROOT", "ro", "console=ttyS0")),
    ],
)
def test_finds_the_entry_that_boots_next(name, environment, title, tokens):
    entry = default_entry(config(name), environment)
    assert (entry.title, entry.tokens) == (title, tokens)


def test_an_entry_that_boots_no_linux_is_none():
    assert default_entry(config("ubuntu2404"), "saved_entry=uefi-firmware\n") is None
    assert default_entry("", "") is None


def test_reads_odd_menus():
    text = "\n".join(
        [
            "}",
            "linux /outside",
            'menuentry "Two > one" {',
            "  linuxefi /vmlinuz a",
            "  linux /other b",
            "}",
            "menuentry 'It'\\''s' --id=plain {",
            "  linux16 /vmlinuz",
            "}",
        ]
    )
    first, second = parse_entries(text)
    assert (first.title, first.id, first.tokens) == ("Two > one", None, ("a",))
    assert (second.title, second.id, second.tokens) == ("It's", "plain", ())
    assert default_entry('set default="Two >> one"\n' + text, "") == first


def test_reads_what_others_set(machine):
    host = machine(
        {
            DEFAULTS: 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet splash" # words\nGRUB_CMDLINE_LINUX=\n',
            "/etc/default/grub.d/10-cloud.cfg": "export GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX a='b c'\"\n",
            "/etc/default/grub.d/20-odd.cfg": 'GRUB_CMDLINE_LINUX_DEFAULT="open\n',
            "/etc/default/grub.d/note": "GRUB_CMDLINE_LINUX=no\n",
            OURS: "GRUB_CMDLINE_LINUX=ours\n",
        }
    )
    assert [(one.token, one.file.rpartition("/")[2], one.line) for one in settings(host, OURS)] == [
        ("quiet", "grub", 2),
        ("splash", "grub", 2),
        ("a=b c", "10-cloud.cfg", 1),
        ("open", "20-odd.cfg", 1),
    ]
