"""The evidence is collected from three sources: the provider, the witness, the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bus import AgentMessage, AgentMessageData, Bus, State, UserMessage, UserMessageData, WorkerRef
from workers.demo import evidence
from workers.demo.evidence import Evidence, collect, opening
from workers.demo.witness import NotInTime, Witness
from workers.provider import Provider, RequestRecord


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider that nobody calls."""
    async with Provider() as running:
        yield running


async def told_session(bus: Bus) -> None:
    """Have something told of a session, and something said in it."""
    claim = await bus.claim(WorkerRef(name="w"), session="athens", create=True)
    assert claim is not None
    said = UserMessage(subject="athens", data=UserMessageData(text="Hello"))
    answer = AgentMessage(subject="athens", data=AgentMessageData(text="You said: Hello", read=1))
    await bus.append(claim, [said, answer], 0)


async def test_everything_is_collected(bus: Bus, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices, the whole history and the state of every session, whoever began it."""
    monkeypatch.setattr(evidence, "_PAGE", 1)
    async with Witness(bus) as witness:
        await told_session(bus)
        found = await collect(bus, provider, witness, {}, None)
    assert [notice.type for notice in found.notices["athens"]] == ["worker.claimed", "session.state"]
    assert [event.type for event in found.histories["athens"]] == ["user.message", "agent.message"]
    assert found.states == {"athens": State.RUNNING}
    assert found.openings() == {"Hello": ["athens"]}
    assert (found.requests, found.received) == ((), 0)


async def test_a_deaf_witness_is_not_believed(bus: Bus, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence without all that was told is none."""
    monkeypatch.setattr(evidence, "CATCH_UP_S", 0.05)
    await told_session(bus)
    with pytest.raises(NotInTime, match="all that was told is heard"):
        await collect(bus, provider, Witness(bus), {}, None)


def test_a_session_without_words_has_no_opening() -> None:
    """Nobody spoke in it, so no prompt can be its own."""
    found = Evidence((), 0, {}, {"quiet": ()}, {})
    assert found.openings() == {}


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": "x"}], [{"role": "user", "content": [{"text": "x"}]}]])
def test_a_prompt_without_words_of_a_person_has_no_opening(messages: list[dict[str, object]]) -> None:
    """Such a prompt belongs to nobody."""
    assert opening(RequestRecord(1, at=0.0, key="", messages=messages)) == ""
