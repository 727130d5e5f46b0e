# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""GRUB's files: which entry boots next and with which arguments, and what the defaults set.

Source: the GRUB manual, "Special environment variables: default", and grub-mkconfig(8) with its scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .._core.system import Host

CONFIG = "/boot/grub/grub.cfg"
ENVIRONMENT = "/boot/grub/grubenv"
DEFAULTS = "/etc/default/grub"
DROP_INS = "/etc/default/grub.d"

_NAME = r"\$(?:\{(?P<braced>\w+)\}|(?P<variable>\d+|[A-Za-z_]\w*|[?@*#]))"
# A part of a word of GRUB's scripts, or of a shell's: in quotes, escaped, a variable, blanks.
_PART = re.compile(
    rf"""'(?P<literal>[^']*)'|"(?P<quoted>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|{_NAME}|(?P<blank>\s+)|(?P<other>.)""",
    re.DOTALL | re.ASCII,
)
_WITHIN = re.compile(rf"""\\(?P<escaped>[$`"\\])|{_NAME}""", re.ASCII)
_TOKEN = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
_OPENS = re.compile(r"""\s*(menuentry|submenu|function)\s+('(?:[^']|'\\'')*'|"[^"]*"|[^\s{]+)(.*)\{\s*$""")
_CLOSES = re.compile(r"\s*\}\s*$")
_LINUX = re.compile(r"\s*linux(?:16|efi)?\s+\S+\s*(.*)$")
_ID = re.compile(r"""(?:\$\{?menuentry_id_option\}?|--id)[\s=]+['"]?([^'"\s]+)['"]?""")
_DEFAULT = re.compile(r"""^\s*set default=["']?(.*?)["']?\s*$""", re.MULTILINE)
_ASSIGNS = re.compile(r"\s*(?:export\s+)?GRUB_CMDLINE_LINUX(_DEFAULT)?\+?=(.*)$")


@dataclass
class Entry:
    """A menu entry, or a submenu with entries below it.

    Attributes:
        tokens: Boot arguments; None where it boots no Linux.
    """

    title: str
    id: str | None = None
    tokens: tuple[str, ...] | None = None
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """A boot argument that a file of GRUB's defaults sets.

    Attributes:
        last: Whether it comes after what our file adds.
    """

    token: str
    file: str
    line: int
    last: bool = False


def split_arguments(text: str) -> tuple[str, ...]:
    """Return boot arguments in order, as the kernel splits them; quotes keep blanks together and are left out."""
    return tuple(re.sub("[\"']", "", token) for token in _TOKEN.findall(text))


def split_words(text: str) -> tuple[str, ...]:
    """Return the words of a line of a GRUB script, as GRUB passes them to a command: without its quotes and escapes.

    What a variable holds only GRUB knows: a word that is one is ``$name``, within another word it is ``${name}``.
    """
    words: list[str] = []
    inside = False
    for part in _PART.finditer(text):
        if part["blank"] is not None:
            inside = False
            continue
        if not inside:
            words.append("")
        inside = True
        words[-1] += _read_part(part)
    return tuple(re.sub(r"\A\$\{(\w+)\}\Z", r"$\1", word) for word in words)


def _read_part(part: re.Match[str]) -> str:
    if part["quoted"] is not None:
        return _WITHIN.sub(_read_name, part["quoted"])
    if part["other"] is not None:
        return "" if part["other"] in "\"'" else part["other"]  # A quote that nothing closes.
    return part["literal"] if part["literal"] is not None else _read_name(part)


def _read_name(part: re.Match[str]) -> str:
    return part["escaped"] or f"${{{part['braced'] or part['variable']}}}"


def parse_entries(text: str) -> list[Entry]:
    """Return the menu of a grub.cfg."""
    menu = Entry("")
    stack: list[Entry] = [menu]
    for line in text.splitlines():
        opens, linux = _OPENS.match(line), _LINUX.match(line)
        if opens:
            found = _ID.search(opens[3])
            title = opens[2].strip("\"'").replace("'\\''", "'")
            entry = Entry(title, found[1] if found else None)
            if opens[1] != "function":
                stack[-1].entries.append(entry)
            stack.append(entry)
        elif _CLOSES.match(line) and len(stack) > 1:
            stack.pop()
        elif linux and len(stack) > 1 and stack[-1].tokens is None:
            stack[-1].tokens = split_words(linux[1])
    return menu.entries


def default_entry(config: str, environment: str) -> Entry | None:
    """Return the entry that boots next, None where GRUB would find none that boots Linux.

    Args:
        config: Text of grub.cfg.
        environment: Text of grubenv, where one-time and saved choices are kept.
    """
    held = dict(line.partition("=")[::2] for line in environment.splitlines() if not line.startswith("#"))
    choices = [choice for choice in _DEFAULT.findall(config) if "next_entry" not in choice]
    choice = choices[0] if choices else "0"
    if "saved_entry" in choice:
        choice = held.get("prev_saved_entry") or held.get("saved_entry") or "0"
    entries = parse_entries(config)
    # GRUB takes the first entry where the chosen one does not exist.
    found = _find(entries, held.get("next_entry") or choice) or _find(entries, "0")
    return found if found and found.tokens is not None else None


def settings(host: Host, ours: str) -> Iterator[Setting]:
    """Yield the boot arguments that files other than ours set, in the order in which they are read."""
    names = [name for name in host.list(DROP_INS) if name.endswith(".cfg")]
    for path in (DEFAULTS, *(f"{DROP_INS}/{name}" for name in names)):
        if path == ours:
            continue
        for number, line in enumerate((host.read(path) or "").splitlines(), 1):
            assigns = _ASSIGNS.match(line)
            if assigns:
                # Files are read in order, and GRUB_CMDLINE_LINUX comes first of the two wherever it is set.
                last = bool(assigns[1]) and path > ours
                for token in split_words(_unquoted(assigns[2])):
                    if not token.startswith("$"):  # The variable's own earlier value.
                        yield Setting(token, path, number, last)


def _unquoted(value: str) -> str:
    """Return what a shell would assign, up to the first blank that is not quoted."""
    read = ""
    for part in _PART.finditer(value):
        if part["blank"] is not None or part["other"] == ";" or (part["other"] == "#" and not read):
            break
        read += _read_part(part)
    return read


def _find(entries: Sequence[Entry], path: str) -> Entry | None:
    """Return an entry by GRUB's path: numbers, titles or ids, joined by ``>``; a ``>`` of a title is doubled."""
    name, *rest = re.split(r"(?<!>)>(?!>)", path, maxsplit=1)
    if name.isdigit():
        found = entries[int(name)] if int(name) < len(entries) else None
    else:
        plain = name.replace(">>", ">")
        found = next((entry for entry in entries if plain in (entry.title, entry.id)), None)
    if found is None or not (rest or found.entries):
        return found
    return _find(found.entries, rest[0] if rest else "0")
