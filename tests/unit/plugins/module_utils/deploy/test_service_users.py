"""Users of services: numbers that nobody else has or will be given."""

from __future__ import annotations

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import Invalid, Refused
from ansible_collections.tripod.baremetal.plugins.module_utils._deploy.service_users import (
    ServiceUsers,
    User,
    UserState,
    parse,
    read_users,
)

WEB = User("tripod-webui", 563, "web", "tripod_webui_uid")
NOBODY = UserState({WEB.name: None}, {WEB.name: None}, {563: None}, {563: None})


def state(uid=None, gid=None, user=None, group=None, people=(1000, 60000), number=563):
    return UserState({WEB.name: uid}, {WEB.name: gid}, {number: user}, {number: group}, people)


def test_group_before_user_and_the_other_way_round():
    resource = ServiceUsers([WEB])
    assert [change.path[0] for change in resource.plan(True, NOBODY)] == ["group", "user"]
    there = state(563, 563, WEB.name, WEB.name)
    assert resource.plan(True, there) == []
    assert [change.path[0] for change in resource.plan(False, there)] == ["user", "group"]
    # Of another number: not ours to remove.
    assert resource.plan(False, state(570, 570)) == []


@pytest.mark.parametrize(
    ("number", "seen", "words"),
    [
        (10003, {}, "uid 10003 is in this host's range for people, 1000 to 60000: set tripod_webui_uid"),
        (563, {"people": (500, 60000)}, "range for people, 500 to 60000"),
        (61200, {}, "for dynamic users, homes and nobody"),
        (100000, {}, "for users of user namespaces"),
        (563, {"user": "syslogd"}, "user syslogd has number 563 on this host: set tripod_webui_uid"),
        (563, {"group": "kvm"}, "group kvm has number 563"),
        (563, {"uid": 570}, "there is a user tripod-webui with number 570, and 563 is requested"),
        (563, {"gid": 570}, "there is a group tripod-webui with number 570"),
    ],
)
def test_a_number_that_somebody_has_or_may_get_is_refused(number, seen, words):
    user = User(WEB.name, number, variable=WEB.variable)
    with pytest.raises(Refused, match=words):
        ServiceUsers([user]).validate(True, state(number=number, **seen))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([{"name": "Web", "uid": 563}], "'Web' is no name of a user"),
        ([{"name": "web", "uid": 0}], "uid 0 is root's, or none"),
        ([{"name": "web", "uid": 1 << 32}], "is root's, or none"),
        ([{"name": "web", "uid": 563, "comment": "a:b"}], "a comment has no ':'"),
        ([{"name": "a", "uid": 563}, {"name": "b", "uid": 563}], "uid 563 is given 2 times"),
    ],
)
def test_what_is_malformed_is_named(options, words):
    with pytest.raises(Invalid, match=words):
        parse(options)


def test_the_range_for_people_is_the_hosts(machine):
    assert read_users(machine(), [WEB]).people == (1000, 60000)
    host = machine({"/etc/login.defs": "#UID_MIN 1\nUID_MIN\t\t 500\nGID_MIN 1000\nUID_MAX 70000\n"})
    assert read_users(host, [WEB]).people == (500, 70000)
