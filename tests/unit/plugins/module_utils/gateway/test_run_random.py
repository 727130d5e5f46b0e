"""Whatever a server holds and whatever is described: one run, and nothing is left; others' rows are as they were."""

from __future__ import annotations

import copy
import random

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._gateway.session import Credentials

from tests.support.marchproxy.client import connect, import_to, real_server, service, stored
from tests.support.marchproxy.rows import AUTH_TYPES, PROTOCOLS
from tests.support.marchproxy.serving import served

STATES = 80
NAMES = [f"s{number}" for number in range(8)]


def fields(chance):
    return {
        "port": chance.choice((80, 443)),
        "protocol": chance.choice(PROTOCOLS),
        "auth_type": chance.choice(AUTH_TYPES),
        "tls_enabled": chance.random() < 0.5,
        "health_check_path": chance.choice(("/", "/healthz")),
        "health_check_interval": chance.choice((5, 30)),
    }


def fill(server, chance):
    for name in chance.sample(NAMES, chance.randint(0, 6)):
        row = server.add(
            **{
                **stored(service(name), **fields(chance)),
                "collection": chance.choice(("app", "app", "app", "other", None)),
                "cluster_id": chance.choice((1, 1, 1, 2)),
                "is_active": chance.random() < 0.8,
            }
        )
        if chance.random() < 0.3:
            row.jwt_secret = row.token_base64 = None
        if chance.random() < 0.15 and row.is_active and row.cluster_id == 1:
            field = chance.choice(("protocol", "auth_type", "tls_enabled", "health_check_enabled"))
            setattr(row, field, "grpc" if field == "protocol" else None)


def described(chance):
    names = chance.sample(NAMES, chance.randint(0, 6))
    return [service(name, **{**fields(chance), "protocol": chance.choice((*PROTOCOLS, "grpc"))}) for name in names]


def others(server):
    """Return what is not ours, as it is now."""
    rows = server.services.values()
    return {row.id: copy.deepcopy(row) for row in rows if (row.collection, row.cluster_id) != ("app", 1)}


@pytest.mark.parametrize("block", range(4))
def test_one_run_leaves_nothing_to_do(block):
    with served(real_server()) as server:
        server.add_cluster("second")
        credentials = Credentials(server.clusters[1].key, server.tokens.issue(server.tokens.users[0])["access_token"])
        for number in range(block * STATES // 4, (block + 1) * STATES // 4):
            chance = random.Random(number)
            server.services.clear()
            fill(server, chance)
            services, foreign = described(chance), others(server)
            state = chance.choice(("present", "present", "absent", "drained"))
            settings = {"prune": chance.random() < 0.5, "state": state}
            for _time in range(2):
                server.forget()
                session = connect(server, credentials)
                report = import_to(server, services, session=session, settings=settings, cluster_id=1)
            assert (number, report.plan.writes, server.writes) == (number, [], [])
            assert others(server) == foreign
            assert not any(row.poisoned for row in server.services.values() if row.id not in foreign)
