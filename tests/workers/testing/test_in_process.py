"""The controller and the workers of a fleet."""

from __future__ import annotations

import asyncio

import pytest

from tidings.bus import Bus
from tidings.workers.agent import Agent, ChatAgent, Step
from tidings.workers.context import Context
from tidings.workers.settings import BadSetting, Settings
from tidings.workers.testing.in_process import QUICK, InProcess, _factory, fleet_settings


class Plain:
    """An agent."""

    async def step(self, ctx: Context) -> Step:
        """Do nothing."""
        return Step()


def test_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a setting nor a mistake in it reaches a test."""
    monkeypatch.setenv("TIDINGS_ATTEMPTS", "2")
    monkeypatch.setenv("TIDINGS_BACKOFF_CAP_S", "never")
    settings = fleet_settings({"max_inline_wait_s": 5.0})
    assert (settings.attempts, settings.backoff_cap_s, settings.max_inline_wait_s) == (6, 30.0, 5.0)
    assert {name: getattr(settings, name) for name in QUICK} == QUICK


def test_the_plan_of_the_retries_is_that_of_production() -> None:
    """What a test sees of attempts and waits is what happens elsewhere, jitter apart."""
    assert fleet_settings({}).plan() == Settings().plan()


@pytest.mark.parametrize("given", [{"attempt": 3}, {"attempts": 0}, {"renew_s": 3000.0}])
def test_a_setting_that_cannot_be_used_is_told(given: dict[str, object]) -> None:
    """A misspelt one too."""
    with pytest.raises(BadSetting):
        fleet_settings(given)


def test_an_agent_comes_as_a_class_as_one_or_as_what_makes_one() -> None:
    """A class that takes settings gets them."""
    settings = fleet_settings({"system_prompt": "Be brief."})
    one = Plain()
    assert isinstance(_factory(Plain, settings)(), Plain)
    assert _factory(one, settings)() is one
    assert _factory(lambda: one, settings)() is one
    chat = _factory(ChatAgent, settings)()
    assert isinstance(chat, ChatAgent)
    assert chat._system_prompt == "Be brief."


@pytest.mark.parametrize("agent", [str, "module:Class", None])
def test_what_is_no_agent_is_told(agent: type[Agent]) -> None:
    """The text says what it lacks."""
    with pytest.raises(TypeError, match=r"is no agent: .*step\(ctx\)"):
        _factory(agent, fleet_settings({}))


async def test_the_crew_ends_and_can_be_closed_twice(tidings_bus: Bus) -> None:
    """Nothing of it runs on, and nobody holds a session."""
    members = InProcess(tidings_bus, Plain, fleet_settings({}), None, workers=2)
    await members.start()
    members.check()
    before = {task.get_name() for task in asyncio.all_tasks()}
    assert {"tidings-testing-c1", "tidings-testing-w1", "tidings-testing-w2"} <= before
    await members.close()
    await members.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("tidings-testing")]
    assert not members.busy


async def test_a_crew_that_was_never_started_can_be_closed(tidings_bus: Bus) -> None:
    """Also one without workers."""
    members = InProcess(tidings_bus, Plain, fleet_settings({}), None, workers=0)
    await members.close()
    await members.start()
    await members.close()


async def test_one_that_ends_on_its_own_is_told(tidings_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, and with what it ended with as the cause."""
    members = InProcess(tidings_bus, Plain, fleet_settings({}), None, workers=1)

    async def crash() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(members.workers[0], "run", crash)
    await members.start()
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="w1 of the fleet has ended on its own") as failure:
        members.check()
    assert isinstance(failure.value.__cause__, ZeroDivisionError)
    await members.close()


async def test_one_that_was_cancelled_or_has_just_returned_is_told_too(tidings_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: nobody works any more."""
    members = InProcess(tidings_bus, Plain, fleet_settings({}), None, workers=1)
    monkeypatch.setattr(members.controller, "run", lambda: asyncio.sleep(0))
    await members.start()
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="c1 of the fleet has ended on its own") as failure:
        members.check()
    assert failure.value.__cause__ is None
    await members.close()
