"""One session on the screen: its status beside the buttons, apart from what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import pytest
from playwright.async_api import Route, expect

from tests.behaviour.agents import Gate
from tests.browsers import Screens
from tests.page.house import House, OpenHouse, button, in_sequence, offsets, record, row_of, status_of
from tests.waiting import eventually
from tidings.bus import AgentMessage, ChildStart, Message, SessionDelete, State, UserMessage, WorkerRef
from tidings.workers.agent import AgentFactory, ChatAgent, Step, answer, to_prompt
from tidings.workers.context import Context


async def test_attempts_change_in_place_and_clear_by_themselves(house: House, screens: Screens) -> None:
    """Attempt 1, 2, 3 of 6, then nothing of it, in one document that was never loaded again."""
    house.fleet.script(*["429:retry-after=1.5"] * 3)
    fleet = await screens.open(house.at("/"))
    await expect(fleet.locator(".link")).to_have_text("live")
    in_row = await record(fleet, "#row-sea .attempt")
    await house.fleet.start("sea", "Why is the sea salt?")
    page = await screens.open(house.session("sea"))
    await page.evaluate("window.unbroken = true")
    in_status = await record(page, ".deck .lines")
    await expect(page.locator(".event.agent")).to_contain_text("You said: Why is the sea salt?")
    await expect(status_of(page)).to_have_text("Waiting for your reply")
    assert in_sequence(await in_status(), "attempt 2 of 6, next try in", "attempt 3 of 6, next try in", "Waiting for your reply")
    await expect(row_of(fleet, "sea").locator(".word")).to_have_text("awaiting input")
    assert in_sequence(await in_row(), "1/6", "2/6", "3/6", "")
    assert await page.evaluate("window.unbroken") is True
    assert await offsets(page) == [1, 2]


@pytest.mark.full
async def test_the_countdown_reaches_its_end(house: House, screens: Screens) -> None:
    """It says who refuses, which attempt failed and when the next one goes out; it counts down every second and then says so."""
    house.fleet.script("429:retry-after=8")
    await house.fleet.start("sea")
    page = await screens.open(house.session("sea"))
    seen = await record(page, ".deck .lines")
    begun = "Rate limited by openai/x: attempt 1 of 6, next try in"
    await expect(status_of(page)).to_contain_text(begun)
    await expect(status_of(page)).to_have_text("Waiting for your reply")
    # A busy machine may open the page as late as in its last seconds.
    assert in_sequence(await seen(), f"{begun} 2s", f"{begun} 1s", "Waiting for your reply")


async def test_status_is_no_part_of_the_conversation(house: House, screens: Screens) -> None:
    """A wait changes the status line and the timeline, and adds nothing to what was said."""
    house.fleet.script("429:retry-after=50,message=Slow down please.")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(status_of(page)).to_contain_text("attempt 1 of 6")
    await expect(page.locator(".deck .advice")).to_contain_text("Slow down please.")
    await expect(page.locator(".timeline")).to_contain_text("attempt 1 of 6: rate limit")
    await expect(page.locator(".events > *")).to_have_count(1)
    await expect(page.locator(".events > .event.user .text")).to_have_text("hello")
    await expect(page.locator(".talk")).not_to_contain_text("Slow down")


async def test_resume_goes_on_with_the_interrupted_step(house: House, screens: Screens) -> None:
    """One click ends the wait; the history has the question and the answer, and no further word of a person."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(status_of(page)).to_contain_text("next try in")
    await button(page, "Resume").click()
    await expect(page.locator(".event.agent")).to_contain_text("You said: hello")
    await expect(page.locator(".event.user")).to_have_count(1)
    assert await offsets(page) == [1, 2]
    assert await house.fleet.said("sea") == ["user: hello", "agent: You said: hello"]
    first, second = house.fleet.provider.requests
    assert first.messages == second.messages


async def test_pause_in_the_middle_of_a_wait(house: House, screens: Screens) -> None:
    """It says who paused it and offers Resume, which brings the answer."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(status_of(page)).to_contain_text("next try in")
    await button(page, "Pause").click()
    await expect(status_of(page)).to_contain_text("Paused by operator")
    await expect(button(page, "Pause")).to_be_hidden()
    await button(page, "Resume").click()
    await expect(page.locator(".event.agent")).to_contain_text("You said: hello")
    await expect(page.locator(".timeline")).to_contain_text("paused")


async def test_a_second_viewer_sees_the_same(house: House, screens: Screens) -> None:
    """Who comes later sees the wait at once; what one does, the other sees."""
    house.fleet.script("429:retry-after=50")
    await house.fleet.start("sea", "hello")
    one = await screens.open(house.session("sea"))
    await expect(status_of(one)).to_contain_text("attempt 1 of 6")
    other = await screens.open(house.session("sea"))
    await expect(status_of(other)).to_contain_text("attempt 1 of 6")
    await button(one, "Pause").click()
    for page in (one, other):
        await expect(status_of(page)).to_contain_text("Paused by operator")
        await expect(page.locator(".title .badge")).to_have_text("paused")
    await other.locator("#say-text").fill("And the lakes?")
    await other.keyboard.press("Enter")
    for page in (one, other):
        await expect(page.locator(".event.user").last).to_contain_text("And the lakes?")


class Parallel:
    """Calls two LLMs at once."""

    async def step(self, ctx: Context) -> Step:
        """Answer and find a title."""
        prompt = to_prompt(ctx.history)
        said, _ = await asyncio.gather(ctx.llm.complete(prompt), ctx.llm.named("title").complete(prompt))
        return Step(answer(said))


async def test_several_paths_each_have_a_line(open_house: OpenHouse, screens: Screens) -> None:
    """Two LLMs of one agent that wait at the same time are told apart by their names."""
    house = await open_house(agent=Parallel)
    house.fleet.script("429:retry-after=50", "429:retry-after=50")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".deck .lines > li")).to_have_count(2)
    await expect(page.locator(".deck .lines .path").filter(has_text="title")).to_be_visible()


class Compiling:
    """Tells what it does, and stays at the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def step(self, ctx: Context) -> Step:
        """Tell it."""
        await ctx.progress("compiling <b>all</b>", 3, 8)
        await self._gate.stay()
        return Step()


async def test_what_the_agent_does_is_on_its_line(open_house: OpenHouse, screens: Screens) -> None:
    """In the fleet and in the session, as text, for who comes later as well; it is over with the turn."""
    gate = Gate()
    house = await open_house(agent=lambda: Compiling(gate))
    await house.fleet.start("sea", "hello")
    await gate.reached()
    page, fleet = await screens.open(house.session("sea")), await screens.open(house.at("/"))
    await expect(status_of(page)).to_have_text("Running on w1: compiling <b>all</b> 3/8")
    await expect(row_of(fleet, "sea").locator(".why")).to_have_text("compiling <b>all</b> 3/8")
    await fleet.get_by_label("Filter the sessions").fill("compiling 3/8")
    await expect(fleet.locator(".row")).to_have_count(1)
    gate.open()
    await expect(status_of(page)).to_have_text("Waiting for your reply")
    await expect(page.locator(".events > *")).to_have_count(1)


class Parent:
    """Sends out two children and waits for them."""

    children: ClassVar[Mapping[str, AgentFactory]] = {"sources": ChatAgent, "summary": ChatAgent}

    async def step(self, ctx: Context) -> Step:
        """Start both, or rest."""
        if any(event.type == "child.start" for event in ctx.history):
            return Step()
        return Step([ChildStart(name=name, text=f"do {name}") for name in self.children])


async def test_children_show_under_their_parent(open_house: OpenHouse, screens: Screens) -> None:
    """A child's wait is a line with its name beside the parent's status; its way is in the conversation."""
    house = await open_house(agent=Parent, concurrency=3)
    house.fleet.script("429:retry-after=1,contains=do sources", "429:retry-after=50,contains=do sources")
    await house.fleet.start("team", "find out")
    page = await screens.open(house.session("team"))
    line = page.locator(".deck .lines .child")
    await expect(line).to_contain_text("sources Rate limited by openai/x: attempt 2 of 6, next try in")
    await expect(status_of(page)).to_contain_text("Waiting for its children")
    await expect(page.locator(".event.child-event", has_text="Started the child sources")).to_have_count(1)
    await expect(page.locator(".event.child-event", has_text="The child summary reported: awaiting input")).to_have_count(1)
    await expect(page.locator(".children .line")).to_have_count(2)
    await page.locator(".children a", has_text="sources").click()
    await expect(page.locator(".facts")).to_contain_text("team")
    await button(page, "Resume").click()
    await expect(page.locator(".event.agent")).to_contain_text("You said: do sources")
    await page.locator(".facts a", has_text="team").click()
    await expect(line).to_have_count(0)
    await expect(status_of(page)).to_have_text("Waiting for your reply")
    await expect(page.locator(".event.child-event", has_text="The child sources reported: awaiting input")).to_have_count(1)


async def test_what_becomes_of_a_child_before_the_stream_begins_is_shown(open_house: OpenHouse, screens: Screens) -> None:
    """Between the reading of a session and its stream: the line of its wait clears, and the timeline has it once."""
    house = await open_house(agent=Parent, concurrency=3)
    house.fleet.script("429:retry-after=50,contains=do sources")
    await house.fleet.start("team", "find out")
    child = await eventually(partial(_waiting_child, house))
    held, going_on = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        held.set()
        await going_on.wait()
        await route.continue_()

    page = await screens.open(house.at("/"))
    await page.route("**/api/sessions/team/stream*", hold)
    await page.goto(house.session("team"))
    await held.wait()
    await house.fleet.resume(child)
    await house.fleet.until(child, State.AWAITING_INPUT)
    await house.fleet.until("team", State.AWAITING_INPUT)
    going_on.set()
    await expect(page.locator(".children .line")).to_have_count(2)
    await expect(page.locator(".deck .lines .child")).to_have_count(0)
    await expect(status_of(page)).to_have_text("Waiting for your reply")
    await expect(page.locator(".notice", has_text="sources: rate limited")).to_have_count(1)
    await expect(page.locator(".notice", has_text="sources: awaiting input")).to_have_count(1)


async def _waiting_child(house: House) -> str:
    children = await house.fleet.bus.children("team")
    return next((child.child for child in children if child.state is State.RATE_LIMITED), "")


async def test_events_that_are_gone_leave_a_line(house: House, screens: Screens) -> None:
    """What was taken out of the log is said to be missing, in its place."""
    await house.fleet.start("sea", "one")
    for count, text in enumerate(("two", "three"), 1):
        await eventually(partial(_answered, house, 2 * count))
        await house.fleet.say("sea", text)
    await eventually(partial(_answered, house, 6))
    link = house.fleet.bus._context
    log = link.names.log("events", "sea")
    await link.connection.commands.xdel(log, "4-0")
    await link.connection.commands.xtrim(log, minid="3-0", approximate=False)
    page = await screens.open(house.session("sea"))
    holes = page.locator(".talk .hole")
    await expect(holes.nth(0)).to_have_text("The events #1 to #2 cannot be shown: they are no longer kept, or not to be read.")
    await expect(holes.nth(1)).to_have_text("The event #4 cannot be shown: it is no longer kept, or not to be read.")
    await expect(holes).to_have_count(2)
    assert await offsets(page) == [3, 5, 6]


async def _answered(house: House, events: int) -> bool:
    return (await house.fleet.bus.status("sea")).events == events


async def test_children_stand_under_their_parent_in_the_fleet(open_house: OpenHouse, screens: Screens) -> None:
    """By the name that the parent gave them, indented; a family that needs a person is on top as a whole."""
    house = await open_house(agent=Parent, concurrency=4)
    house.fleet.script("401:contains=do summary")
    await house.fleet.start("team", "find out")
    await house.fleet.start("another", "find out")
    page = await screens.open(house.at("/"))
    await expect(page.locator(".row")).to_have_count(6)
    await expect(page.locator(".row.needs-you")).to_have_count(1)
    broken = page.locator(".row.needs-you .session")
    await expect(broken).to_have_text("summary")
    rows = "nodes => nodes.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)"
    rows += ".map(n => [n.querySelector('a').innerText, n.dataset.depth])"
    in_order = await page.locator(".row").evaluate_all(rows)
    assert sorted(in_order[1:3] + in_order[4:]) == [["sources", "1"]] * 2 + [["summary", "1"]] * 2
    assert [in_order[0][1], in_order[3][1]] == ["0", "0"]


async def test_an_attempt_and_an_outage_are_shown_as_they_are(open_house: OpenHouse, screens: Screens) -> None:
    """From the moment the request goes out it runs; when the attempts are used up no worker waits, and it is tried later."""
    house = await open_house(attempts=2, llm_timeout_s=2.0)
    house.fleet.script("503", "timeout")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    in_status = await record(page, ".deck .lines")
    await expect(page.locator(".deck .advice")).to_contain_text("Resume to try again")
    await expect(status_of(page)).to_contain_text("Retrying later: timeout at openai/x, goes on in")
    assert in_sequence(await in_status(), "Asking openai/x again (after overloaded): attempt 2 of 2 under way", "Retrying later")
    await expect(page.locator(".timeline")).to_contain_text("attempt 2 of 2 goes out")
    await expect(page.locator(".timeline")).to_contain_text("retrying later: timeout")
    await expect(page.locator(".facts")).to_contain_text("nobody")
    await button(page, "Resume").click()
    await expect(page.locator(".event.agent")).to_contain_text("You said: hello")


async def test_parked_says_when_it_goes_on(open_house: OpenHouse, screens: Screens) -> None:
    """A limit that outlasts the hold limit frees the worker; the page says when, and that Resume is quicker."""
    house = await open_house(max_inline_wait_s=1.0)
    house.fleet.script("429:retry-after=3600")
    await house.fleet.start("sea", "hello")
    page = await screens.open(house.session("sea"))
    await expect(status_of(page)).to_contain_text("Parked: rate limit at openai/x, goes on in")
    await expect(page.locator(".facts")).to_contain_text("nobody")
    await expect(page.locator(".deck .advice")).to_contain_text("Wait: the allowance refills by itself.")
    await button(page, "Resume").click()
    await expect(page.locator(".event.agent")).to_contain_text("You said: hello")


async def test_what_needs_a_person_says_what_to_do(house: House, screens: Screens) -> None:
    """A used-up quota stands on top of the fleet with the advice, and in its own view."""
    house.fleet.script("quota")
    await house.fleet.start("zebra", "hello")
    await house.fleet.until("zebra", State.RATE_LIMITED)
    await house.fleet.start("ant", "hello")
    await house.fleet.until("ant", State.AWAITING_INPUT)
    page = await screens.open(house.at("/"))
    await expect(page.locator(".row .session a").first).to_have_text("zebra")
    await expect(page.locator(".row.needs-you")).to_have_count(1)
    await expect(page).to_have_title("(1) Tidings")
    await page.locator("#row-zebra .session a").click()
    await expect(status_of(page)).to_contain_text("Nothing happens until somebody resumes it")
    await expect(page.locator(".deck .advice")).not_to_be_empty()


async def test_long_histories_are_read_from_the_end(open_house: OpenHouse, screens: Screens) -> None:
    """The newest page first; earlier ones on demand, and the reader stays where they were. A text that was cut off says so."""
    house = await open_house(workers=0, controllers=0)
    claim = await house.fleet.bus.worker.claim(WorkerRef(name="busy"), session="sea", create=True)
    assert claim is not None
    said = [Message.of(UserMessage(by="ann", text=str(number)), session="sea") for number in range(1, 76)]
    answers = [Message.of(AgentMessage(text=f"You said: {number}"), session="sea") for number in range(1, 75)]
    answers.append(Message.of(AgentMessage(text="You said: 75", cut="max_tokens"), session="sea"))
    await claim.append(*[event for turn in zip(said, answers, strict=True) for event in turn], after=0)
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".event.agent").last).to_contain_text("You said: 75")
    await expect(page.get_by_text("Cut off here: max_tokens")).to_have_count(1)
    assert (await offsets(page))[0] == 51
    earlier = page.get_by_role("button", name="Show earlier")
    await expect(earlier).to_have_text("Show earlier (50 events above)")
    await earlier.click()
    await expect(page.locator(".event.user").first).to_contain_text("1")
    await expect(earlier).to_be_hidden()
    assert await offsets(page) == list(range(1, 151))
    in_view = await page.locator(".event").evaluate_all(
        "nodes => nodes.filter(n => n.getBoundingClientRect().bottom > 120).map(n => Number(n.dataset.offset))[0]"
    )
    assert in_view > 40


@pytest.mark.full
async def test_of_a_very_long_history_the_newest_part_is_held(open_house: OpenHouse, screens: Screens) -> None:
    """The document does not grow for ever while a busy session is looked at, and what went can be had again."""
    house = await open_house(workers=0, controllers=0)
    bus = house.fleet.bus
    claim = await bus.worker.claim(WorkerRef(name="busy"), session="sea", create=True)
    assert claim is not None
    events = [Message.of(AgentMessage(text=f"number {number}"), session="sea") for number in range(1, 1601)]
    await claim.append(*events[:50], after=0)
    page = await screens.open(house.session("sea"))
    await expect(page.locator(".event").last).to_contain_text("number 50")
    for at in range(50, 1600, 50):
        await claim.append(*events[at : at + 50], after=at)
    await expect(page.locator(".event").last).to_contain_text("number 1600")
    shown = await offsets(page)
    assert 1000 <= len(shown) <= 1500
    assert shown == list(range(shown[0], 1601))
    await page.get_by_role("button", name="Show earlier").click()
    await expect(page.locator(f".event[data-offset='{shown[0] - 100}']")).to_have_count(1)


async def test_a_session_that_is_deleted_while_it_is_looked_at(house: House, screens: Screens) -> None:
    """Its view says so and its row goes; nothing of it stays on the screen."""
    screens.failures_expected = True
    await house.fleet.start("sea", "hello")
    await house.fleet.until("sea", State.AWAITING_INPUT)
    page = await screens.open(house.session("sea"))
    fleet = await screens.open(house.at("/"))
    await expect(page.locator(".event.agent")).to_have_count(1)
    await expect(row_of(fleet, "sea")).to_be_visible()
    await house.fleet.send(Message.of(SessionDelete(by="ann"), session="sea"))
    await expect(page.locator(".missing")).to_contain_text("The session sea was deleted.")
    await expect(page.locator(".event:visible")).to_have_count(0)
    await expect(row_of(fleet, "sea")).to_have_count(0)


async def test_a_session_that_is_not_there(house: House, screens: Screens) -> None:
    """Its address says so and leads back; nothing is asked again and again."""
    screens.failures_expected = True
    page = await screens.open(house.session("nobody"))
    await expect(page.locator(".missing")).to_contain_text("There is no session nobody.")
    await page.get_by_role("link", name="To the fleet").click()
    await expect(page.locator(".empty").filter(has_text="No session yet")).to_be_visible()
