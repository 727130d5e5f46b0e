"""XDP programs that are weighed against each other, each loaded and told what to let through; they give descriptors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.tripod.baremetal.plugins.module_utils._linux import bpf_map
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.bpf_object import BpfObject
from ansible_collections.tripod.baremetal.plugins.module_utils._linux.clock import hz
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.compiler import compile_policy
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.prefix import parse_prefix
from ansible_collections.tripod.baremetal.plugins.module_utils._policy.request import parse

from tests.bench import xdp_stream
from tests.support.bpf_object import xdp_object
from tests.support.policy_run import Loaded

_ACTION_DROP, _OWNER_INVENTORY = 2, 1


@contextmanager
def _loaded(content: bytes, name: str) -> Iterator[BpfObject]:
    with BpfObject(content, f"{name}.o") as opened:
        opened.load(name, {})
        yield opened


@contextmanager
def nothing(verdict: int) -> Iterator[int]:
    """A program that gives each packet one verdict."""
    with _loaded(xdp_object(verdict, "nothing"), "nothing") as opened:
        yield opened.program("nothing")


@contextmanager
def xdp_filter() -> Iterator[int]:
    """Debian's xdp-filter as ``xdp-filter load`` takes it, which allows what is in none of its maps; they are empty."""
    name = "xdpfilt_alw_all"
    [found] = Path("/usr/lib").glob(f"*/bpf/{name}.o")
    with _loaded(found.read_bytes(), name) as opened:
        yield opened.program(name)


@contextmanager
def released(entries: Sequence[str]) -> Iterator[int]:
    """The program of release 1.0.0 with prefixes that it drops."""
    with _loaded(xdp_stream.released(), "tripod_xdp") as opened:
        for version in (4, 6):
            prefixes = [prefix for prefix in map(parse_prefix, entries) if prefix.version == version]
            pairs = [(one.key, bytes((_ACTION_DROP, _OWNER_INVENTORY, one.length, 0))) for one in prefixes]
            if pairs and bpf_map.update(opened.map(f"acl_v{version}"), pairs) != len(pairs):
                raise SystemExit(f"release 1.0.0 has no room for {len(pairs)} prefixes")
        yield opened.program("tripod_xdp")


@contextmanager
def ours(content: bytes, policy: Mapping[str, Any]) -> Iterator[int]:
    """The program under test, with a policy."""
    compiled = compile_policy(parse(policy), hz=hz(), seed=bytes(16))
    with Loaded(content, compiled, tracing=False) as loaded:
        yield loaded.program
