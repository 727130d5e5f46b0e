# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What lies between a module's options and its answer: the drift check gets the same answers as the module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .converge import CoreError
from .errors import in_words
from .lock import changing
from .system import UMASK, Host


@dataclass(frozen=True)
class Answer:
    """What a module has to say.

    Attributes:
        facts: What it exits with, JSON-ready; ``changed`` among them.
        warnings: What the operator should know though it went well.
        failure: Why the module fails all the same; the facts are returned with it.
    """

    facts: Mapping[str, Any]
    warnings: Sequence[str] = ()
    failure: str | None = None


# Options as the module's argument specification leaves them, host, check mode -> answer; or CoreError.
Responder = Callable[[Mapping[str, Any], Host, bool], Answer]


@contextmanager
def answering(module: AnsibleModule) -> Iterator[None]:
    """Let a module fail in words, whatever is refused while the body runs; no operator gets a traceback for that.

    Directories and files come out alike on every host, whatever the umask of its operators: what is secret has a mode
    of its own, and a directory such as /etc/docker that only root could enter would break what others put there.
    """
    os.umask(UMASK)
    try:
        yield
    except CoreError as error:
        module.fail_json(msg=str(error), **error.facts)
    except OSError as error:
        module.fail_json(msg=in_words(error))


def respond(module: AnsibleModule, responder: Responder, changes: bool = True) -> None:
    """End a module with its answer, or with the error meant for the operator.

    Args:
        module: The module.
        responder: What answers.
        changes: Whether it changes the host, and so waits for others who do; one that only reads waits for nobody.
    """
    with answering(module), changing(Host(), module.check_mode or not changes) as host:
        answer = responder(module.params, host, module.check_mode)
    for words in answer.warnings:
        module.warn(words)
    if answer.failure:
        module.fail_json(msg=answer.failure, **answer.facts)
    module.exit_json(**answer.facts)
