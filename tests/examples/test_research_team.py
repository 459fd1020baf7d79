"""The team: a parent with two children, on the bus in memory and a scripted provider."""

from __future__ import annotations

from examples.research_team import ResearchTeam
from tidings.bus import AgentMessage, ChildResult, ChildState, State
from tidings.workers.provider import Fault, Provider
from tidings.workers.testing import StartFleet

QUESTION = "Is the sea salt?"


async def test_a_team_answers_from_what_its_children_report(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """Each runs with its own instructions; the answer knows both reports, and so does the next question."""
    fleet = await tidings_fleet(ResearchTeam, workers=2)
    await fleet.start("s", QUESTION)
    await fleet.idle()
    history = await fleet.history("s")
    assert [event.type for event in history] == ["user.message", *["child.start"] * 2, *["child.result"] * 2, "agent.message"]
    assert {event.data.name for event in history if isinstance(event.data, ChildResult)} == {"searcher", "critic"}
    *children, team = fleet.prompts
    assert {message["role"] for prompt in children for message in prompt} == {"system", "user"}
    assert len({prompt[0]["content"] for prompt in children}) == 2
    assert sorted(message["content"] for message in team[3:]) == [
        f"From critic: You said: {QUESTION}",
        f"From searcher: You said: {QUESTION}",
    ]
    await fleet.say("s", "And the rain?")
    await fleet.idle()
    assert len(await fleet.bus.children("s")) == 4
    assert isinstance((await fleet.history("s"))[-1].data, AgentMessage)


async def test_a_child_that_waits_is_shown_under_its_parent(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """With its name, and the path and attempt of its wait."""
    fleet = await tidings_fleet(ResearchTeam)
    tidings_provider.script(Fault.parse("429x2:retry-after=20"))
    await fleet.start("s", QUESTION)
    await fleet.idle()
    shown = [notice.data for notice in fleet.told(ChildState)]
    waits = [(child.wait.llm, child.wait.attempt) for child in shown if child.wait]
    assert ("agent", 1) in waits
    assert {child.name for child in shown} == {"searcher", "critic"}
    assert {notice.session for notice in fleet.told(ChildState)} == {"s"}


async def test_a_child_that_fails_does_not_end_the_team(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """The answer is made from what there is, and says who failed."""
    fleet = await tidings_fleet(ResearchTeam)
    tidings_provider.script(Fault.parse("401"))
    await fleet.start("s", QUESTION)
    await fleet.idle()
    results = {event.data.state for event in await fleet.history("s") if isinstance(event.data, ChildResult)}
    assert results == {State.ERROR, State.AWAITING_INPUT}
    assert any("(error: " in str(message["content"]) for message in fleet.prompts[-1])
    assert isinstance((await fleet.history("s"))[-1].data, AgentMessage)
