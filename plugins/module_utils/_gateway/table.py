# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""A plan for people: what becomes of each service and mapping, in columns."""

from __future__ import annotations

import json

from .plan import CREATE, ROTATE, UNCHANGED, Plan, Step


def table(plan: Plan) -> str:
    """Return a line for each step that is more than a service left as it is, and how many of those there are."""
    rows = [(step.action, step.name, _change(step)) for step in plan.steps if step.action != UNCHANGED or step.reason]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    lines = ["  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2])).rstrip() for row in rows]
    quiet = len(plan.steps) - len(rows)
    return "\n".join([*lines, f"{quiet} unchanged"] if quiet or not lines else lines)


def _change(step: Step) -> str:
    if step.action == CREATE:
        service = step.after
        return f"{service['protocol']} {service['ip_fqdn']}:{service['port']}, auth {service['auth_type']}"
    shown = {} if step.action == ROTATE else step.after
    fields = [f"{key}: {json.dumps(step.before.get(key))} -> {json.dumps(value)}" for key, value in shown.items()]
    return "; ".join(filter(None, (", ".join(fields), step.reason)))
