"""The agent with several paths, on the bus in memory and a scripted provider."""

from __future__ import annotations

import pytest

from examples.title_and_router import RoutingAgent
from tidings.bus import AgentMessage, LlmFailed, LlmRateLimited, LlmRetry, Notice, State
from tidings.workers.provider import Fault, Provider
from tidings.workers.testing import Fleet, StartFleet, reply
from tidings.workers.view import SessionView

MODELS = {"easy": None, "hard": "openai/large"}


async def _said(fleet: Fleet) -> list[tuple[str, str | None]]:
    return [(event.data.text, event.data.model) for event in await fleet.history("s") if isinstance(event.data, AgentMessage)]


async def test_each_question_gets_the_model_that_it_deserves(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """The first answer begins with a title, and no later one does."""
    fleet = await tidings_fleet(RoutingAgent(MODELS))
    tidings_provider.script(reply("Numbers", contains="Name this conversation"))
    await fleet.start("s", "a hard one")
    await fleet.idle()
    await fleet.say("s", "an easy one")
    await fleet.idle()
    assert [text for text, _ in await _said(fleet)] == ["# Numbers", "You said: a hard one", "You said: an easy one"]
    models = [request.model for request in tidings_provider.requests]
    assert sorted(models[:2]) == ["test", "test"]
    assert models[2:] == ["large", "test", "test"]


async def test_every_wait_is_shown_under_the_name_of_its_path(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """The title's and the router's, which wait at the same time, and that of an answer with a model of its own."""
    fleet = await tidings_fleet(RoutingAgent(MODELS))
    tidings_provider.script(
        Fault.parse("429:retry-after=20,contains=Name this"),
        Fault.parse("503:contains=hard one"),
        Fault.parse("429:retry-after=30,model=large"),
    )
    await fleet.start("s", "a hard one")
    await fleet.idle()
    told = {notice.data.llm: notice.data.model for notice in fleet.told(LlmRetry)}
    assert told == {"title": "openai/test", "router": "openai/test", "hard-answer": "openai/large"}
    # As people see it: a wait that follows another at once changes no state, and is shown all the same.
    row, shown = SessionView("s"), set[str]()
    for notice in fleet.told(Notice):
        row = row.apply(notice) if notice.session == "s" else row
        shown |= {wait.llm for wait in row.waits}
    assert shown == {"title", "router", "hard-answer"}
    assert not row.waits


@pytest.mark.parametrize("refusal", ["401:contains=Name this", "429x*:retry-after=600,contains=Name this"])
async def test_a_title_that_fails_is_done_without(tidings_fleet: StartFleet, tidings_provider: Provider, refusal: str) -> None:
    """Neither parked nor in error: the conversation goes on without a name."""
    fleet = await tidings_fleet(RoutingAgent(MODELS))
    tidings_provider.script(Fault.parse(refusal))
    await fleet.start("s", "an easy one")
    await fleet.idle()
    assert [text for text, _ in await _said(fleet)] == ["You said: an easy one"]
    assert (fleet.told(LlmFailed), fleet.told(LlmRateLimited)) == ([], [])


async def test_a_router_that_fails_is_told_by_its_name(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """And a resume asks it again."""
    fleet = await tidings_fleet(RoutingAgent(MODELS))
    tidings_provider.script(Fault.parse("401:contains=an easy one"))
    await fleet.start("s", "an easy one")
    await fleet.until("s", State.ERROR)
    assert [notice.data.llm for notice in fleet.told(LlmFailed)] == ["router"]
    await fleet.resume("s")
    await fleet.idle()
    assert [text for text, _ in await _said(fleet)][-1] == "You said: an easy one"
