"""Which sessions a command is about."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.cli.stage import bring, hold
from tidings.bus import Bus, InvalidName, State
from tidings.bus.states import FINAL
from tidings.workers.cli.choice import Choice, parse_age
from tidings.workers.cli.exits import BadUsage


async def chosen(bus: Bus, choice: Choice) -> set[str]:
    """Return what a choice comes to."""
    return {session async for session in choice.sessions(bus)}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("0s", 0), (" 1d ", 86_400)]
)
def test_an_age_is_read(text: str, seconds: int) -> None:
    """A number and a unit."""
    assert parse_age(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "d", "1w", "-1d", "1.5h", "1d12h", "9999999d", "1 d", "\x1b[31m"])
def test_what_is_no_age_is_told(text: str) -> None:
    """With what to write, and without what a terminal obeys."""
    with pytest.raises(BadUsage, match="30d") as caught:
        parse_age(text)
    assert "\x1b" not in str(caught.value)


@given(st.integers(0, 999_999), st.sampled_from("smhd"))
def test_every_age_can_be_counted_back(number: int, unit: str) -> None:
    """None is too long for the calendar's arithmetic."""
    assert parse_age(f"{number}{unit}") >= timedelta(seconds=number)


def test_sessions_are_named_or_chosen() -> None:
    """Both, or neither, is a mistake; a name twice is one."""
    assert Choice.of(["a", "b", "a"], None, []) == Choice(("a", "b"))
    assert Choice.of([], "1d", []) == Choice((), timedelta(days=1), FINAL)
    assert Choice.of([], None, ["error", "paused"]).states == {State.ERROR, State.PAUSED}
    wrong: list[tuple[list[str], str | None, list[str]]] = [([], None, []), (["a"], "1d", []), (["a"], None, ["error"])]
    for names, older_than, states in wrong:
        with pytest.raises(BadUsage):
            Choice.of(names, older_than, states)
    with pytest.raises(BadUsage):
        Choice.of([], None, ["asleep"])
    with pytest.raises(InvalidName):
        Choice.of(["../a"], None, [])


async def test_by_age_only_what_is_over_is_chosen(bus: Bus) -> None:
    """Unless other states are asked for; and never what is younger."""
    await bring(bus, "done", State.FINISHED)
    await bring(bus, "failed", State.ERROR)
    await hold(bus, "running")
    assert await chosen(bus, Choice.of([], "0s", [])) == {"done"}
    assert await chosen(bus, Choice.of([], "1h", [])) == set()
    assert await chosen(bus, Choice.of([], "0s", ["error"])) == {"failed"}
    assert await chosen(bus, Choice.of([], None, ["error", "running"])) == {"failed", "running"}
    assert await chosen(bus, Choice.of(["running", "nobody"], None, [])) == {"running", "nobody"}
