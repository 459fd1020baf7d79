"""The commentary: what a program says beside the sessions is on the screen, and the keys mean the session that it names."""

from __future__ import annotations

from tests.waiting import eventually
from tests.workers.cli.stage import bring
from tests.workers.terminal.conftest import watch
from tidings.bus import Bus, State
from tidings.workers.terminal import Commentary


async def test_it_stands_above_the_sessions(memory_bus: Bus) -> None:
    """What was said before the view and during it, the rest of a long line set in, and the hint of the moment."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)
    commentary = Commentary(["0.1 s  " + "word " * 20], hang=7, hint=" press r ")
    async with watch(memory_bus, size=(80, 30), commentary=commentary) as person:
        await person.sees("0.1 s  word", "press r", "1 session")
        commentary.lines.append("0.2 s  more")
        commentary.hint = ""
        await person.sees("0.2 s  more", without="press r")
        lines = person.lines
    assert lines[1].startswith("       word")
    assert lines[2] == "0.2 s  more"
    assert max(map(len, lines)) <= 80


async def test_it_selects_a_session_once(memory_bus: Bus) -> None:
    """Also one that comes only later; afterwards a person selects what they like."""
    await bring(memory_bus, "athens", State.AWAITING_INPUT)
    commentary = Commentary(selected="berlin")
    async with watch(memory_bus, size=(80, 30), commentary=commentary) as person:
        await person.sees("› athens")
        await bring(memory_bus, "berlin", State.AWAITING_INPUT)
        await person.sees("› berlin", "  athens")
        await person.press("up")
        await person.sees("› athens", "  berlin")
        commentary.lines.append("more")
        await person.sees("more", "› athens")


async def test_it_ends_the_view(memory_bus: Bus) -> None:
    """The program that opened it may have nothing left to show."""
    commentary = Commentary()
    async with watch(memory_bus, commentary=commentary) as person:
        await person.sees("no sessions so far")
        commentary.over = True
        await eventually(lambda: person.app.return_value == 0)


async def test_without_one_the_screen_is_as_it_was(memory_bus: Bus) -> None:
    """The connection stands in the first line."""
    async with watch(memory_bus) as person:
        await person.sees("no sessions so far")
        assert person.lines[0].startswith("status.*")
