"""`tidings delete`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring
from tidings.bus import Bus, State

Controlled = Callable[[Bus], AbstractAsyncContextManager[None]]


class Terminal(io.StringIO):
    """A terminal at which somebody types one line."""

    def isatty(self) -> bool:
        """It is one."""
        return True


async def left(bus: Bus) -> set[str]:
    """Return the sessions that there are."""
    return {record.session async for record in bus.sessions()}


async def test_those_named_are_deleted(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """Each is told; afterwards a status says so, a history is refused, and nothing is listed."""
    for session in ("a", "b", "c"):
        await bring(server_bus, session, State.FINISHED)
    async with controlled(server_bus):
        done = await tidings("delete", "a", "b", "--by", "ann", "--why", "old")
        assert (done.code, done.stdout.splitlines()) == (
            0,
            ["a: applied, the session is deleted", "b: applied, the session is deleted"],
        )
        assert await left(server_bus) == {"c"}
        shown = await tidings("status", "a")
        assert (shown.code, "deleted by ann: old" in shown.stdout) == (0, True)
        assert (await tidings("history", "a", "--follow")).code == 0
        again = await tidings("start", "a", "--message", "hi")
        assert (again.code, "another name" in again.stderr) == (3, True)


async def test_force_takes_away_what_cannot_be_read(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """Its commands are refused with the words that name the way out; what is not there, and a choice, are refused."""
    await bring(server_bus, "a", State.ERROR)
    redis: Any = server_bus._context.connection.commands
    await redis.hset(server_bus._context.names.record("a"), "version", "many")
    async with controlled(server_bus):
        refused = await tidings("delete", "a")
        assert refused.code == 3
        assert "refused: unreadable: " in refused.stderr
        assert "`tidings delete --force a` takes it away" in refused.stderr
    done = await tidings("delete", "--force", "a", "--by", "ann")
    assert (done.code, done.stdout) == (0, "a: applied, the session is deleted\n")
    assert "deleted by force by ann" in (await tidings("status", "a")).stdout
    done = await tidings("delete", "--force", "nothing", "a", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.code, [(line["session"], line["result"]) for line in told]) == (3, [("nothing", "refused"), ("a", "applied")])
    assert (await tidings("delete", "--force", "--older-than", "1d")).code == 2


async def test_each_outcome_is_a_json_line_and_the_first_failure_the_code(
    server_bus: Bus, controlled: Controlled, tidings: Tidings
) -> None:
    """One that is not there keeps no other from being deleted."""
    await bring(server_bus, "a", State.ERROR)
    async with controlled(server_bus):
        done = await tidings("delete", "nobody", "a", "--json")
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(line["session"], line["result"], line["state"]) for line in told] == [
            ("nobody", "refused", None),
            ("a", "applied", "deleted"),
        ]
        assert done.code == 3


async def test_without_a_controller_it_stops_at_the_first(server_bus: Bus, tidings: Tidings) -> None:
    """Nobody answers; the others would only take as long."""
    for session in ("a", "b"):
        await bring(server_bus, session, State.FINISHED)
    done = await tidings("delete", "a", "b", "--timeout", "0.1")
    assert (done.code, done.stderr.count("\n")) == (4, 1)
    assert await left(server_bus) == {"a", "b"}


async def test_what_was_not_named_needs_a_yes(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """Where nobody can be asked it is refused; with --yes it is done."""
    await bring(server_bus, "a", State.FINISHED)
    await bring(server_bus, "b", State.ERROR)
    async with controlled(server_bus):
        refused = await tidings("delete", "--older-than", "0s")
        assert (refused.code, "--yes" in refused.stderr) == (2, True)
        assert await left(server_bus) == {"a", "b"}
        assert (await tidings("delete", "--older-than", "0s", "--yes")).code == 0
        assert await left(server_bus) == {"b"}
        assert (await tidings("delete", "--older-than", "1h", "--state", "error", "-y")).stdout == ""
        assert (await tidings("delete", "--state", "error", "-y")).code == 0
        assert await left(server_bus) == set()


@pytest.mark.parametrize(("typed", "kept"), [("y\n", set()), ("Yes\n", set()), ("\n", {"a"}), ("n\n", {"a"}), ("", {"a"})])
async def test_at_a_terminal_the_person_is_asked(
    server_bus: Bus,
    controlled: Controlled,
    tidings: Tidings,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    kept: set[str],
) -> None:
    """With what would be deleted; everything but a yes is a no."""
    await bring(server_bus, "a", State.FINISHED)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    async with controlled(server_bus):
        done = await tidings("delete", "--older-than", "0s")
        assert done.code == 0
        assert "delete 1 session with all of their history (a)?" in done.stdout
        assert ("nothing was deleted" in done.stdout) is bool(kept)
        assert await left(server_bus) == kept
