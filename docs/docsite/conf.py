"""How Sphinx makes a site of the collection's documents: the Markdown pages as they are, and antsibull-docs' reference.

Nothing is fetched. A link that leads nowhere is a warning, which ends the build. ``tools/pages.py`` lays the pages out.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from docutils import nodes

project = "tripod.baremetal"
author = "Tripod contributors"
project_copyright = f"2026 {author}"

extensions = ["myst_parser", "sphinx_antsibull_ext"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
# What antsibull-docs says of a role is made from the same specification as the role's README.
include_patterns = ["*.md", "docs/*.md", "docs/benchmarks/*.md", "docs/decisions/*.md", "examples/*.md"]
include_patterns += ["tests/*.md", "tests/fixtures/*.md", "reference/*.rst"]
# Plugins declare no environment variables, and an empty page says nothing.
exclude_patterns = ["reference/environment_variables.rst"]
highlight_language = "yaml+jinja"
myst_heading_anchors = 4
nitpicky = True

html_theme = "sphinx_rtd_theme"
html_title = project
html_copy_source = False
html_show_sphinx = False
html_use_index = False

ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"
# Labels of Ansible's own documentation that antsibull-docs refers to.
OUTSIDE = {
    "action_plugins": "plugins/action.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
PLUGIN = re.compile(r"ansible_collections\.(?!tripod\.)(\w+)\.(\w+)\.(\w+)")
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)")


def link_roles_and_folders(app: Any, page: str, content: list[str]) -> None:
    """Lead to a role's page of reference, and to a folder's README; the one of the decisions lists them."""
    if Path(app.env.doc2path(page)).suffix != ".md":
        return
    root, here = Path(app.srcdir), posixpath.dirname(page)

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, link[1]))
        if role := re.fullmatch(r"roles/(\w+)(?:/README\.md)?", target):
            target = f"reference/{role[1]}_role.rst"
        elif target == "README.md":
            target = "index.md"
        elif (root / target / "README.md").is_file():
            target += "/README.md"
        return f"](/{target}"

    content[0] = LINK.sub(led, content[0])
    if page == "docs/decisions/README":
        content[0] += "\n```{toctree}\n:glob:\n:maxdepth: 1\n\n[0-9]*\n```\n"


def link_outside(_app: Any, _env: Any, node: Any, shown: Any) -> nodes.reference | None:
    """Lead from a label of Ansible's documentation to its page there."""
    label = node["reftarget"]
    plugin = PLUGIN.fullmatch(label)
    page = f"collections/{plugin[1]}/{plugin[2]}/{plugin[3]}.html" if plugin else OUTSIDE.get(label)
    return nodes.reference("", "", shown, internal=False, refuri=f"{ANSIBLE}/{page}") if page else None


def setup(app: Any) -> None:
    """Take part in the build."""
    app.connect("source-read", link_roles_and_folders)
    app.connect("missing-reference", link_outside)
