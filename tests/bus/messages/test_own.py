"""Messages of a user's own: defined as a class, registered, and read as that class where it is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import field_validator

from tests import actors
from tests.readers import take
from tidings.bus import Bus, Command, Event, InvalidMessage, Message, Notice, UnknownEvent, UnknownNotice, carries
from tidings.bus import messages as m
from tidings.bus.messages.planes import TYPES
from tidings.bus.publisher import publish_notice
from tidings.workers.agent import Next, Step, as_event
from tidings.workers.prompt import to_prompt


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Forget what a test has defined."""
    known = dict(TYPES)
    yield
    for kind in TYPES.keys() - known:
        del TYPES[kind]


def _progress() -> type[Any]:
    class Progress(Notice, type="acme.progress"):
        done: int
        total: int

        @field_validator("done")
        @classmethod
        def _never_thirteen(cls, done: int) -> int:
            if done == 13:
                raise RuntimeError("a class may do anything")
            return done

    return Progress


async def test_a_notice_of_ones_own_is_published_and_followed(bus: Bus) -> None:
    """It arrives as its class, live and from the ring, with the envelope that the bus made."""
    progress = _progress()
    await actors.hold(bus)
    async with bus.follow("s") as live:
        await anext(live)
        stored = await bus.publish("s", progress(done=3, total=8))
        assert (stored.type, stored.session, stored.data.done) == ("acme.progress", "s", 3)
        assert await take(live, 1) == [stored]
    async with bus.follow("s", Notice, 0) as kept:
        assert (await take(kept, 3))[-1] == stored


async def test_where_it_is_not_known_it_is_opaque(bus: Bus) -> None:
    """A process without the class gets its fields as they are; a class that is defined later reads them."""
    progress = _progress()
    await actors.hold(bus)
    stored = await bus.publish("s", progress(done=1, total=2))
    del TYPES["acme.progress"]
    async with bus.follow("s", Notice, 2) as notices:
        [seen] = await take(notices, 1)
    assert carries(seen, UnknownNotice)
    assert (seen.type, seen.data.fields, seen.refused) == ("acme.progress", {"done": 1, "total": 2}, False)
    assert m.as_stored(seen) == m.as_stored(stored)


@pytest.mark.parametrize("data", [{"done": "many", "total": 1}, {"done": 1}, {"done": 13, "total": 14}], ids=str)
async def test_what_its_class_refuses_ends_no_reader(bus: Bus, data: dict[str, Any]) -> None:
    """It comes as unknown, is counted, and what follows comes as well, whatever the class raises."""
    progress = _progress()
    await actors.hold(bus)
    wrong = Message.unknown("status", "acme.progress", data, session="s")
    async with bus.follow("s") as live:
        await anext(live)
        await publish_notice(bus._context, wrong)
        await bus.publish("s", progress(done=2, total=3))
        seen = await take(live, 2)
        assert [carries(one, UnknownNotice) for one in seen] == [True, False]
        assert carries(seen[0], UnknownNotice)
        assert seen[0].refused
        assert live.statistics().invalid == 1
    before = bus.skipped
    page = await bus.page("status.s")
    assert (page.entries[-2][1], bus.skipped - before) == (seen[0], 1)


async def test_an_event_of_ones_own_is_history_and_no_prompt(bus: Bus) -> None:
    """It is appended and read as its class; an agent may add it, and the model does not read it."""

    class Rated(Event, type="acme.rated"):
        stars: int

    claim = await actors.hold(bus)
    said = actors.spoken("s", "hello")
    stored = await claim.append(said, as_event(Rated(stars=5), "s", "worker/w1"), after=0)
    history = await bus.history("s")
    assert history == stored
    assert history[1].data == Rated(stars=5)
    assert to_prompt(history) == [{"role": "user", "content": "hello"}]
    assert Step([Rated(stars=1)], Next.CONTINUE).events == [Rated(stars=1)]
    del TYPES["acme.rated"]
    assert carries((await bus.history("s"))[1], UnknownEvent)


def test_a_type_belongs_to_one_class() -> None:
    """A second class of a name would be read in place of the first by chance."""
    _progress()
    with pytest.raises(TypeError, match=r"acme.progress' is .*_progress.<locals>.Progress already"):
        _progress()


@pytest.mark.parametrize("kind", ["llm.mine", "session.mine", "quota.full", "tool.mine", "history.mine", "child.mine"])
def test_types_that_are_ours_are_reserved(kind: str) -> None:
    """What is added to Tidings later must not meet a user's."""
    with pytest.raises(TypeError, match="Tidings' own"):
        type("Mine", (Notice,), {"__module__": "acme", "__qualname__": "Mine"}, type=kind)


@pytest.mark.parametrize("kind", ["progress", "Acme.progress", "acme.", "acme progress", "a." + "b" * 100])
def test_a_type_is_a_dotted_name(kind: str) -> None:
    """So that it can be read in a channel, a log and a filter."""
    with pytest.raises(TypeError, match="dotted name"):
        type("Mine", (Notice,), {"__module__": "acme", "__qualname__": "Mine"}, type=kind)


def test_a_class_without_a_type_is_a_base() -> None:
    """It carries fields for others and cannot be sent itself."""

    class Acme(Notice):
        line: str

    class Started(Acme, type="acme.started"):
        pass

    assert Started(line="x").type == "acme.started"
    with pytest.raises(InvalidMessage, match="type"):
        Message.of(Acme(line="x"), session="s")


def test_there_are_no_commands_of_ones_own() -> None:
    """Controllers decide by a table; a command that is not in it would only be refused by each of them."""
    with pytest.raises(TypeError, match="Tidings' commands alone"):
        type("Dance", (Command,), {"__module__": "acme", "__qualname__": "Dance"}, type="acme.dance")
