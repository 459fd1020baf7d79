"""What a controller says to parents and children."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import actors
from tidings.bus import (
    AgentMessage,
    Bus,
    Command,
    CommandRefused,
    Decision,
    Ending,
    Event,
    Message,
    Outcome,
    Result,
    SchemaMismatch,
    SessionReport,
    SessionStart,
    SessionStop,
    Snapshot,
    State,
    Trigger,
    UnknownSession,
    WorkerRef,
)
from tidings.bus.worker.lease import ALL_READ
from tidings.workers.controller.decision import Rules, decide
from tidings.workers.controller.errands import AGAIN_S, Errands, fitting

RULES = Rules("controller/c1")


class Sent:
    """A bus that keeps the commands that are submitted, and sends none."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.commands: list[Message[Command]] = []
        self.error: Exception | None = None

    async def submit(self, session: str, command: Command, *, id: str, source: str, when_full: bool) -> None:
        """Keep it."""
        assert when_full, "a full server must not keep what is deleted from its end"
        if self.error is not None:
            raise self.error
        self.commands.append(Message.of(command, session=session, id=id, source=source))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


@asynccontextmanager
async def family(*said: str, cut: str | None = None) -> AsyncIterator[tuple[Bus, Sent, Snapshot]]:
    """A parent `p`, and its child `c` whose agent has said something and whose turn is over."""
    async with Bus.connect(f"memory://{uuid4().hex}") as bus:
        await _start(bus, Message.of(SessionStart(), session="p"))
        await _start(bus, Message.of(SessionStart(parent="p", name="helper", text="go"), session="c"))
        claim = await bus.worker.claim(WorkerRef(name="w"), session="c")
        assert claim is not None
        assert (claim.parent, claim.name) == ("p", "helper")
        events: Sequence[Message[Event]] = [Message.of(AgentMessage(text=text, cut=cut), session="c") for text in said]
        await claim.append(*events, after=1)
        await claim.release(Ending(Trigger.YIELD, read=ALL_READ, why="the turn is over"))
        snapshot = await bus.controller.snapshot("c")
        assert snapshot is not None
        yield bus, Sent(bus), snapshot


async def _start(bus: Bus, command: Message[SessionStart]) -> None:
    await actors.submit(bus, command)
    snapshot = await bus.controller.snapshot(command.session)
    assert snapshot is not None
    await bus.controller.decide(snapshot, decide(snapshot, RULES))


def _errands(sent: Sent) -> Errands:
    bus: Any = sent
    return Errands(bus, "controller/c1")


async def test_the_newest_words_of_a_child_are_reported() -> None:
    """What it said beside a call to a tool, which may be nothing, does not count; that it was reported is noted."""
    async with family("one", "two", "") as (_, sent, snapshot):
        decision = await _errands(sent).run(snapshot, decide(snapshot, RULES))
        (report,) = sent.commands
        assert isinstance(report.data, SessionReport)
        assert (report.session, report.data.text, report.data.state) == ("p", "two", State.AWAITING_INPUT)
        assert decision.fields["reported"] == "awaiting_input.4"
        assert decision.due is None


async def test_a_parent_is_told_that_words_were_cut_off() -> None:
    """Its agent would take half a result for a whole one."""
    async with family("one", " ", cut="max_tokens") as (_, sent, snapshot):
        await _errands(sent).run(snapshot, Decision())
        (report,) = sent.commands
        assert isinstance(report.data, SessionReport)
        assert report.data.text == "one\n\n(cut off here: max_tokens)"


async def test_words_that_were_said_long_ago_are_found() -> None:
    """Page by page; an agent that has said nothing reports nothing."""
    async with family("once", *[""] * 250) as (_, sent, snapshot):
        await _errands(sent).run(snapshot, Decision())
        async with family() as (_, silent, other):
            await _errands(silent).run(other, Decision())
        assert [getattr(command.data, "text", "") for command in (*sent.commands, *silent.commands)] == ["once", ""]


async def test_what_was_said_before_the_last_question_is_no_result() -> None:
    """Least of all of a turn that failed."""
    async with family("one") as (_, sent, snapshot):
        asked_again = replace(snapshot, record=replace(snapshot.record, said=2, events=2, state=State.ERROR))
        await _errands(sent).run(asked_again, Decision())
        (report,) = sent.commands
        assert isinstance(report.data, SessionReport)
        assert (report.data.state, report.data.text) == (State.ERROR, "")


async def test_what_moves_on_is_not_reported_yet() -> None:
    """The state that it comes to is, when that is written."""
    async with family("one") as (_, sent, snapshot):
        moving = replace(decide(snapshot, RULES), to=State.QUEUED)
        assert await _errands(sent).run(snapshot, moving) is moving
        assert sent.commands == []


async def test_what_cannot_be_told_now_is_told_later() -> None:
    """Too many commands wait at the parent; nothing is noted."""
    async with family("one") as (_, sent, snapshot):
        sent.error = CommandRefused("x", "full", "", ())
        decision = await _errands(sent).run(snapshot, decide(snapshot, RULES))
        assert "reported" not in decision.fields
        assert decision.due is not None
        assert (decision.due - snapshot.now).total_seconds() == AGAIN_S


async def test_a_parent_of_another_version_is_told_by_its_controllers() -> None:
    """It is their record; nothing is noted, and the child is not taken for one of that version itself."""
    async with family("one") as (_, sent, snapshot):
        sent.error = SchemaMismatch("p", 99)
        decision = await _errands(sent).run(snapshot, decide(snapshot, RULES))
        assert "reported" not in decision.fields
        assert decision.due is not None


async def test_a_parent_that_is_gone_needs_to_hear_nothing() -> None:
    """It is noted as told, and nobody looks again."""
    async with family("one") as (_, sent, snapshot):
        sent.error = UnknownSession("p")
        decision = await _errands(sent).run(snapshot, decide(snapshot, RULES))
        assert "reported" in decision.fields
        assert decision.due is None


async def test_the_children_of_what_is_over_are_stopped_until_they_are() -> None:
    """It stays due; a child that is over is left alone."""
    async with family("one") as (bus, sent, _):
        await bus.submit("p", SessionStop())
        snapshot = await bus.controller.snapshot("p")
        assert snapshot is not None
        await bus.controller.decide(snapshot, decide(snapshot, RULES))
        over = await bus.controller.snapshot("p")
        assert over is not None
        decision = await _errands(sent).run(over, decide(over, RULES))
        assert decision.due is not None
        (stop,) = sent.commands
        assert isinstance(stop.data, SessionStop)
        assert (stop.session, stop.data.why) == ("c", "its parent is stopped")
        await actors.submit(bus, stop)
        stopped = await bus.controller.snapshot("c")
        assert stopped is not None
        await bus.controller.decide(stopped, decide(stopped, RULES))
        again = await _errands(sent).run(over, decide(over, RULES))
        assert again.due is None
        assert len(sent.commands) == 1


@pytest.mark.parametrize(("result", "told"), [(Result.REFUSED, ["c2"]), (Result.APPLIED, []), (Result.EXPIRED, [])])
async def test_a_parent_is_told_of_a_start_that_is_refused(result: Result, told: list[str]) -> None:
    """And of no other; a start that nobody's child was to be is its asker's business."""
    async with family("one") as (_, sent, snapshot):
        starts = (
            Message.of(SessionStart(parent="q", name="helper"), id="s1", session="c2", offset=7),
            Message.of(SessionStart(), id="s2", session="c2", offset=8),
        )
        outcomes = tuple((Outcome(command_id=start.id, session="c2", result=result, reason="no"), None) for start in starts)
        moving = Decision(to=State.QUEUED, outcomes=outcomes)
        await _errands(sent).run(replace(snapshot, commands=starts), moving)
        assert [command.data.child for command in sent.commands if isinstance(command.data, SessionReport)] == told


async def test_a_child_that_is_there_answers_for_itself() -> None:
    """A start of it that comes again, long after, is refused; its parent waits for the child's own report."""
    async with family("one") as (_, sent, snapshot):
        again = Message.of(SessionStart(parent="p", name="helper"), id="s1", session="c", offset=7)
        refused = Outcome(command_id="s1", session="c", result=Result.REFUSED, reason="it exists")
        moving = Decision(to=State.QUEUED, outcomes=((refused, None),))
        await _errands(sent).run(replace(snapshot, commands=(again,)), moving)
        assert sent.commands == []


@given(st.text(max_size=300), st.integers(min_value=60, max_value=400))
def test_a_text_is_cut_to_what_fits(text: str, limit: int) -> None:
    """By its bytes in JSON, escapes included; one that fits is left as it is."""
    cut = fitting(text, limit)
    assert len(json.dumps(cut, ensure_ascii=False).encode("utf-8", "surrogatepass")) <= limit
    if cut != text:
        head, _, rest = cut.partition(" … (cut")
        assert text.startswith(head)
        assert rest


async def test_a_report_of_a_very_long_answer_can_be_sent_and_stored() -> None:
    """Cut to what a message takes, on its way to the parent and in its history."""
    async with family("ü" * 130_500) as (bus, _, snapshot):
        await Errands(bus, "controller/c1").run(snapshot, decide(snapshot, RULES))
        parent = await bus.controller.snapshot("p")
        assert parent is not None
        await bus.controller.decide(parent, decide(parent, RULES))
        (result,) = await bus.history("p")
        text = getattr(result.data, "text", "")
        assert text.endswith("(cut: it was too long for a report)")
        assert len(text) > 50_000
