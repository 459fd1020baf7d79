"""The agent that condenses, on the bus in memory and a scripted provider."""

from __future__ import annotations

from examples.condensing_agent import CONDENSE, CondensingAgent
from tidings.bus import HistoryCondensed, LlmAttempt, LlmRetry, State, carries
from tidings.workers.provider import Fault, Provider
from tidings.workers.testing import StartFleet, reply

LONG = "please remember " + "this and that " * 20


def agent() -> CondensingAgent:
    """One with a short patience for long prompts."""
    return CondensingAgent(longest=900, keep=2)


async def test_a_long_history_is_condensed_and_nothing_is_lost(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """The summary takes the place of older events in the prompt; the history has both."""
    fleet = await tidings_fleet(agent())
    tidings_provider.script(reply("they remember this and that", contains="Condense"))
    await fleet.start("s", LONG)
    await fleet.idle()
    await fleet.say("s", "and this")
    await fleet.idle()
    history = await fleet.history("s")
    assert [event.type for event in history] == [
        "user.message",
        "agent.message",
        "user.message",
        "agent.message",
    ]
    await fleet.say("s", LONG)
    await fleet.idle()
    history = await fleet.history("s")
    (summary,) = [event for event in history if carries(event, HistoryCondensed)]
    assert (summary.offset, summary.data.text, summary.data.llm) == (6, "they remember this and that", "condenser")
    assert summary.data.through == 3
    assert [event.type for event in history] == [
        "user.message",
        "agent.message",
        "user.message",
        "agent.message",
        "user.message",
        "history.condensed",
        "agent.message",
    ]
    asked, answered = fleet.prompts[-2:]
    assert asked[-1] == {"role": "user", "content": CONDENSE}
    assert [message["content"] for message in answered[1:]] == [
        "What came before, condensed:\n\nthey remember this and that",
        "You said: and this",
        LONG,
    ]


async def test_the_wait_of_the_condenser_is_shown_as_its_own(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """On the status plane, by its name."""
    fleet = await tidings_fleet(CondensingAgent(longest=300, keep=0))
    await fleet.start("s", LONG)
    await fleet.idle()
    tidings_provider.script(Fault.parse("429:retry-after=20,contains=Condense"))
    await fleet.say("s", "and this")
    await fleet.idle()
    (retry,) = fleet.told(LlmRetry)
    assert retry.data.llm == "condenser"
    assert [notice.data.llm for notice in fleet.told(LlmAttempt)] == ["condenser"]
    assert State.RATE_LIMITED in fleet.states("s")


async def test_what_cannot_be_made_shorter_is_sent_as_it_is(tidings_fleet: StartFleet) -> None:
    """One long question is not condensed before it is answered, and nobody turns in a circle."""
    fleet = await tidings_fleet(CondensingAgent(longest=10, keep=0))
    await fleet.start("s", LONG)
    await fleet.idle()
    assert [event.type for event in await fleet.history("s")] == ["user.message", "agent.message"]
