"""Write each role's README from its ``meta/argument_specs.yml``: ``.venv/bin/python -m tools.role_docs``.

A role in ``seealso`` whose description begins with ``Comes before`` must come before, and has a section of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .console import guarded, say
from .paths import ROOT

COLLECTION = "tripod.baremetal."
BEFORE = "Comes before, "
ALONE = (
    "Once, and not in each run: where one of them is left out, by `--tags` or altogether, this role reads from the "
    "host what it left there."
)
# What a number counts, by the last word of its option's name.
UNITS = {"bytes": "bytes", "days": "days", "rate": "a second", "seconds": "seconds", "timeout": "seconds"}
# A default that is longer stands below the table.
WIDEST = 60
_MARKUP = re.compile(r"\b(RV|[BCEILMOPUV])\(([^)]*)\)")

Option = Mapping[str, Any]


def readme(role: str, entry: Mapping[str, Any], dependencies: Sequence[str]) -> str:
    """Return the text of a role's README.

    Args:
        role: Its name, without the collection's.
        entry: Entry point ``main`` of its argument specification.
        dependencies: Names of the roles that come along by themselves.
    """
    parts = [
        "<!-- Made by tools/role_docs.py from meta/argument_specs.yml: change that, and run make docs. -->",
        f"# {COLLECTION}{role}",
        f"{text(entry['short_description'])}.",
        *(text(paragraph) for paragraph in entry["description"]),
        "## Example",
        f"```yaml\n{entry['examples'].strip()}\n```",
        "## What must come before",
        *_before(entry.get("seealso", []), dependencies),
        "## Variables",
        *_options(entry["options"]),
    ]
    if others := [item for item in entry.get("seealso", []) if not _comes_before(item)]:
        parts += ["## See also", _list(f"{_named(item)}: {text(item['description'])}" for item in others)]
    return "\n\n".join(parts) + "\n"


def text(marked: str) -> str:
    """Return Markdown for a text in Ansible's markup."""
    return _MARKUP.sub(_markdown, marked)


def _markdown(match: re.Match[str]) -> str:
    kind, content = match.groups()
    if kind == "P":
        name, _hash, plugin_type = content.partition("#")
        return _link(name) if plugin_type == "role" else f"`{name}`"
    if kind == "L":
        words, _comma, address = content.rpartition(",")
        return f"[{words.strip()}]({address.strip()})"
    if kind in ("O", "RV"):
        # Of another plugin it is PLUGIN#TYPE:NAME.
        content = content.rpartition("#")[2].rpartition(":")[2]
    return {"B": f"**{content}**", "I": f"*{content}*", "U": f"<{content}>"}.get(kind, f"`{content}`")


def _link(role: str) -> str:
    name = role.removeprefix(COLLECTION)
    return f"[{name}](../{name}/README.md)"


def _named(item: Mapping[str, str]) -> str:
    if item.get("plugin_type") == "role":
        return _link(item["plugin"])
    return f"`ansible-doc {item['module']}`" if "module" in item else f"[{item['name']}]({item['link']})"


def _comes_before(item: Mapping[str, str]) -> bool:
    return item.get("plugin_type") == "role" and item["description"].startswith(BEFORE)


def predecessors(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the roles that must come before, without the collection's."""
    return [item["plugin"].removeprefix(COLLECTION) for item in entry.get("seealso", []) if _comes_before(item)]


def _before(seealso: Sequence[Mapping[str, str]], dependencies: Sequence[str]) -> Iterator[str]:
    roles = [item for item in seealso if _comes_before(item)]
    if roles:
        yield _list(f"{_named(item)}, {text(item['description'].removeprefix(BEFORE))}" for item in roles)
        yield ALONE
    along = " and ".join(_link(role) for role in dependencies)
    first = "" if roles else "Nothing. "
    if along or first:
        yield (first + (f"{along} comes along by itself." if along else "")).strip()


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _options(options: Mapping[str, Option]) -> Iterator[str]:
    if not options:
        yield "None of its own."
        return
    yield _table("variable", options)
    for name, option in options.items():
        if _is_long(option):
            shown = yaml.dump({name: option["default"]}, Dumper=_Dumper, sort_keys=False, width=120)
            yield f"### Default of `{name}`"
            yield f"```yaml\n{shown.strip()}\n```"
        if "options" in option:
            yield f"### {'Each entry' if option['type'] == 'list' else 'Keys'} of `{name}`"
            yield _table("key", option["options"])


def _table(first: str, options: Mapping[str, Option]) -> str:
    rows = [[first, "type", "default", "meaning"], ["---"] * 4]
    rows += [[f"`{name}`", _type(name, option), _default(option), _meaning(option)] for name, option in options.items()]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _type(name: str, option: Option) -> str:
    if "elements" in option:
        return f"list of {option['elements']}"
    unit = UNITS.get(name.rpartition("_")[2]) if option["type"] in ("int", "float") else None
    return f"{option['type']}, {unit}" if unit else str(option["type"])


def _default(option: Option) -> str:
    if option.get("required"):
        return "**required**"
    if "default" not in option:
        return "none"
    return "below" if _is_long(option) else f"`{_flow(option['default'])}`"


def _is_long(option: Option) -> bool:
    default = option.get("default")
    return isinstance(default, (list, dict)) and len(_flow(default)) > WIDEST


def _flow(value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    # PyYAML ends a document that is one plain value with a line of dots.
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=10000).removesuffix("...\n").strip()


class _Dumper(yaml.SafeDumper):
    """Writes YAML as this collection does: lists indented, quotes double."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def string(self, value: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", value, '"' if "{{" in value or not value else None)


_Dumper.add_representer(str, _Dumper.string)


def _meaning(option: Option) -> str:
    description = option["description"]
    sentences = [description] if isinstance(description, str) else list(description)
    if "choices" in option:
        sentences.append(f"One of {', '.join(f'`{choice}`' for choice in option['choices'])}.")
    return " ".join(text(sentence) for sentence in sentences)


def entry_point(role: Path) -> Mapping[str, Any]:
    """Return entry point ``main`` of the argument specification in a role's directory."""
    specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    entry: Mapping[str, Any] = specification["argument_specs"]["main"]
    return entry


def of(role: Path) -> str:
    """Return what the README in a role's directory is to say."""
    meta = yaml.safe_load((role / "meta" / "main.yml").read_text(encoding="utf-8"))
    return readme(role.name, entry_point(role), [dependency["role"] for dependency in meta["dependencies"]])


def main() -> int:
    """Write the README of every role, and name those that changed."""
    for role in sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir()):
        page, wanted = role / "README.md", of(role)
        if not page.exists() or page.read_text(encoding="utf-8") != wanted:
            page.write_text(wanted, encoding="utf-8")
            say(f"wrote {page.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    guarded(main)
