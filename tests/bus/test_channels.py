"""Names and keys."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import strategies as draw
from tidings.bus.channels import PLANES, Channel, Names
from tidings.bus.errors import InvalidName

prefixes = st.from_regex(r"[A-Za-z0-9_.:-]{0,64}", fullmatch=True) | st.sampled_from(
    ["", "acme.", "status.", "status.x", "s", "0", "tatus.", "ready.", ".", "status", "-"]
)
planes = st.sampled_from(PLANES)


def _every_name(names: Names, session: str, command: str) -> dict[str, str]:
    """Every key and channel of one session and of its installation, by what it is."""
    per_plane = {f"log {plane}": names.log(plane, session) for plane in PLANES}
    per_plane |= {f"channel {plane}": names.channel(plane, session) for plane in PLANES}
    return per_plane | {
        "record": names.record(session),
        "outcome": names.outcome(session, command),
        "key": names.key(session, command),
        "ready": names.ready(),
        "due": names.due,
        "sessions": names.sessions,
        "seen": names.seen,
        "presences": names.presences,
        "wake": names.wake,
        "outcomes": names.outcomes(session),
    }


def test_the_names_are_those_of_the_wire_format() -> None:
    """People type them into redis-cli: a change here is a change of the wire format."""
    assert _every_name(Names(), "demo", "c1") == {
        "log status": "{0}:status.demo",
        "log events": "{0}:events.demo",
        "log commands": "{0}:commands.demo",
        "channel status": "status.demo",
        "channel events": "events.demo",
        "channel commands": "commands.demo",
        "record": "{0}:session.demo",
        "outcome": "{0}:outcome.demo.c1",
        "key": "{0}:key.demo.c1",
        "ready": "{0}:ready.default",
        "due": "{0}:due",
        "sessions": "{0}:sessions",
        "seen": "{0}:seen",
        "presences": "{0}:presences",
        "wake": "ready.0",
        "outcomes": "outcomes.demo",
    }


def test_a_prefix_goes_before_every_name() -> None:
    """Several installations share one Redis."""
    plain, prefixed = (_every_name(Names(prefix), "demo", "c1") for prefix in ("", "acme."))
    assert prefixed == {what: f"acme.{name}" for what, name in plain.items()}


@given(prefixes, draw.sessions, draw.ids)
def test_all_keys_lie_on_one_node_of_a_cluster(prefix: str, session: str, command: str) -> None:
    """The first pair of braces is the hash tag, and it holds the partition in each key."""
    names = _every_name(Names(prefix), session, command)
    for key in [name for what, name in names.items() if not what.startswith(("channel", "wake", "outcomes"))]:
        tag = key[key.index("{") + 1 : key.index("}")]
        assert tag == "0"


@given(prefixes, prefixes, draw.sessions, draw.sessions, draw.ids, draw.ids)
def test_no_two_things_share_a_name(one: str, two: str, s1: str, s2: str, c1: str, c2: str) -> None:
    """Sessions, planes and installations do not meet in one key or one channel, whatever they are called."""
    first, second = _every_name(Names(one), s1, c1), _every_name(Names(two), s2, c2)
    for names in (first, second):
        assert len(set(names.values())) == len(names)
    if one != two:
        assert not set(first.values()) & set(second.values())
    if s1 != s2:
        for what in ("log events", "channel events", "record", "outcome", "outcomes"):
            assert first[what] != second[what]


@pytest.mark.parametrize("prefix", ["*", "a b", "a{b}", "[s]", "?", "a\n", "ä", "x" * 65])
def test_a_prefix_that_could_mean_something_else_is_refused(prefix: str) -> None:
    """Glob characters would catch other people's channels, braces would move keys to other nodes."""
    with pytest.raises(InvalidName, match="is not a prefix"):
        Names(prefix)


# channels as people write them


@given(planes, draw.sessions)
def test_a_channel_reads_as_it_is_written(plane: str, session: str) -> None:
    """`<plane>.<session>` in both directions."""
    channel = Channel.parse(f"{plane}.{session}")
    assert (channel.plane, channel.session, channel.is_pattern) == (plane, session, False)
    assert str(channel) == f"{plane}.{session}"


@pytest.mark.parametrize("plane", PLANES)
def test_a_star_stands_for_every_session(plane: str) -> None:
    """`status.*` is a channel of its own kind."""
    channel = Channel.parse(f"{plane}.*")
    assert channel.is_pattern
    assert str(channel) == f"{plane}.*"


@pytest.mark.parametrize(
    "name",
    ["", "status", "status.", ".demo", "news.demo", "status.a.b", "*.demo", "status.de*", "STATUS.demo"],
)
def test_anything_else_is_no_channel(name: str) -> None:
    """The error is typed and says what would be right."""
    with pytest.raises(InvalidName, match=r"use 1 to 64|write <plane>"):
        Channel.parse(name)


@given(st.text())
def test_parsing_gives_a_channel_or_the_one_error(name: str) -> None:
    """Whatever people type."""
    try:
        assert str(Channel.parse(name)) == name
    except InvalidName as error:
        shown = str(error)
        assert len(shown) < 300


# names as they arrive from Pub/Sub


@given(prefixes, planes, draw.sessions)
def test_a_name_of_ours_is_recognised(prefix: str, plane: str, session: str) -> None:
    """What arrives under a channel's name is handed to that channel."""
    names = Names(prefix)
    assert names.channel_of(names.channel(plane, session)) == Channel(plane, session)


@given(prefixes, prefixes, planes, draw.sessions)
def test_the_names_of_other_installations_are_not_ours(ours: str, theirs: str, plane: str, session: str) -> None:
    """A pattern may catch them; they are told apart."""
    assume(ours != theirs)
    assert Names(ours).channel_of(Names(theirs).channel(plane, session)) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ready.0",
        "outcomes.demo",
        "status.",
        "status",
        "status.a.b",
        "status.*",
        "cats.demo",
        "__keyspace@0__:x",
    ],
)
def test_names_that_are_no_channels_are_left_out(name: str) -> None:
    """Wake-ups, outcomes and what others publish on the same server are not messages of a plane."""
    assert Names().channel_of(name) is None


@given(prefixes, st.sets(planes, min_size=1), planes, draw.sessions)
def test_one_pattern_covers_the_planes_wanted(prefix: str, wanted: set[str], plane: str, session: str) -> None:
    """The one pattern of a process catches every channel of the planes it is for, and no other plane."""
    names = Names(prefix)
    caught = fnmatch.fnmatchcase(names.channel(plane, session), names.pattern(wanted))
    assert caught == (plane in wanted)


def test_patterns_as_redis_sees_them() -> None:
    """One plane is what people would type; several share their first letters, which differ."""
    names = Names("acme.")
    assert names.pattern(["status"]) == "acme.status.*"
    assert names.pattern(["status", "commands", "status"]) == "acme.[cs]*.*"
    assert len({plane[0] for plane in PLANES}) == len(PLANES)


def test_names_are_frozen() -> None:
    """An installation does not change its names."""
    names: Any = Names()
    with pytest.raises(AttributeError):
        names.prefix = "other"


def test_a_key_says_what_it_holds_and_whose_it_is() -> None:
    """As the server's TYPE calls it; what all sessions share is of none."""
    names = Names("team.")
    of_one = [names.record("s"), names.log("events", "s"), names.outcome("s", "c.1"), names.key("s", "d"), names.children("s")]
    assert [names.place(key) for key in of_one] == [(kind, "s") for kind in ("hash", "stream", "string", "string", "hash")]
    shared = [names.ready(), names.due, names.sessions, names.seen, names.presences]
    assert [names.place(key) for key in shared] == [(kind, None) for kind in ("zset", "zset", "hash", "zset", "hash")]
